//! The report as tables for people.

use std::collections::BTreeSet;

use agent_status::{Commands, Device, Distribution, Fleet, Group, Pair, Phase, Plan, Report, Unit, Value};
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};

/// How much to show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// Show at most so many units and devices; the rest is counted.
    pub(crate) rows_max: usize,
    /// Mark what is wrong in colour.
    pub(crate) colour: bool,
}

impl View {
    /// Everything, without colour.
    pub(crate) const WHOLE: Self = Self { rows_max: usize::MAX, colour: false };

    /// The report as text, each line ended.
    pub(crate) fn render(self, report: &Report) -> String {
        let mut text = heading(report);
        text.push_str(&plans_on_their_way(&report.plan));
        if let Some(file) = &report.traces.last {
            text.push_str(&format!("  last trace: {file}\n"));
        }
        for reason in report.degradations() {
            text.push_str(&format!("  degraded: {reason}\n"));
        }
        if let Some(pair) = &report.pair {
            text.push_str(&self::pair(pair));
        }
        if let Some(fleet) = &report.fleet {
            text.push_str(&self::fleet(fleet));
        }
        text.push('\n');
        self.table(&mut text, self.groups(&report.groups));
        self.table(&mut text, self.units(&report.units));
        if let Some(parks) = self.parks(&report.units) {
            self.table(&mut text, parks);
        }
        if let Some(values) = self.values(&report.units) {
            self.table(&mut text, values);
        }
        if let Some(fleet) = &report.fleet {
            self.table(&mut text, self.vehicles(fleet));
        }
        self.table(&mut text, self.devices(&report.devices));
        text.push_str(&commands(&report.commands));
        text
    }

    fn table(self, text: &mut String, table: Table) {
        text.push_str(&table.trim_fmt());
        text.push_str("\n\n");
    }

    fn new_table(self, heads: &[&str], right_from: usize) -> Table {
        let mut table = Table::new();
        *table.style_mut() = NOTHING;
        table.set_content_arrangement(ContentArrangement::Disabled).set_header(heads);
        if !self.colour {
            table.force_no_tty();
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if at >= right_from {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    fn mark(self, text: &str, fine: bool) -> Cell {
        let cell = Cell::new(text);
        if fine || !self.colour { cell } else { cell.fg(Color::Red) }
    }

    fn groups(self, groups: &[Group]) -> Table {
        let heads = [
            "GROUP",
            "MODE",
            "POLICY",
            "CORE",
            "CYCLES",
            "MISSED",
            "WAKE-UP us p50/p99/max",
            "CYCLE us p50/p99/max",
            "RESPONSE us",
        ];
        let mut table = self.new_table(&heads, 4);
        for group in groups {
            let cores: Vec<String> = group.thread.cores.iter().map(usize::to_string).collect();
            table.add_row([
                Cell::new(&group.name),
                self.mark(&group.mode, group.mode == "running"),
                self.mark(
                    &format!("{} {}", group.thread.policy, group.thread.priority),
                    group.thread.policy == "SCHED_FIFO",
                ),
                Cell::new(cores.join(",")),
                Cell::new(group.cycles),
                self.mark(&group.missed_deadlines.to_string(), group.missed_deadlines == 0),
                Cell::new(three(&group.wake_up)),
                Cell::new(three(&group.cycle_time)),
                Cell::new(group.response_us),
            ]);
        }
        table
    }

    fn units(self, units: &[Unit]) -> Table {
        let heads = [
            "UNIT",
            "MODE",
            "QUALITY",
            "WIND m/s",
            "ROTOR rpm",
            "PITCH deg",
            "POWER kW",
            "LIMIT kW",
            "AGE ms",
            "NOTES",
        ];
        let mut table = self.new_table(&heads, 3);
        if let Some(notes) = table.column_mut(9) {
            notes.set_cell_alignment(CellAlignment::Left);
        }
        for unit in units.iter().take(self.rows_max) {
            let notes: Vec<&str> = unit.trips.iter().chain(&unit.overrides).map(String::as_str).collect();
            table.add_row([
                Cell::new(&unit.name),
                Cell::new(&unit.mode),
                self.mark(&unit.quality, unit.quality == "good"),
                Cell::new(format!("{:.1}", unit.wind_mps)),
                Cell::new(format!("{:.2}", unit.rotor_rpm)),
                Cell::new(format!("{:.2}", unit.pitch_deg)),
                Cell::new(format!("{:.0}", unit.power_kw)),
                Cell::new(format!("{:.0}", unit.power_limit_kw)),
                Cell::new(unit.input_age_us.map_or("never read".into(), |age| format!("{:.1}", age / 1e3))),
                self.mark(&notes.join(", "), unit.trips.is_empty()),
            ]);
        }
        more(&mut table, units.len(), self.rows_max);
        table
    }

    /// What parks shall give, if there are some.
    fn parks(self, units: &[Unit]) -> Option<Table> {
        let parks: Vec<_> = units.iter().filter_map(|unit| Some((unit, unit.park.as_ref()?))).collect();
        if parks.is_empty() {
            return None;
        }
        let heads = [
            "PARK",
            "TURBINES",
            "REFERENCE kW",
            "RAMPED kW",
            "FREQUENCY Hz",
            "ANSWER kW",
            "TARGET kW",
            "AVAILABLE kW",
            "POWER kW",
        ];
        let mut table = self.new_table(&heads, 1);
        for (unit, park) in parks {
            let kilowatts = |kw: f64| Cell::new(format!("{kw:.0}"));
            let frequency = park.frequency_hz.map_or("unknown".to_owned(), |hertz| format!("{hertz:.3}"));
            table.add_row([
                Cell::new(&unit.name),
                Cell::new(park.turbines),
                kilowatts(unit.power_limit_kw),
                kilowatts(park.ramped_kw),
                self.mark(&frequency, park.frequency_hz.is_some()),
                kilowatts(park.answer_kw),
                kilowatts(park.target_kw),
                kilowatts(park.available_kw),
                kilowatts(unit.power_kw),
            ]);
        }
        Some(table)
    }

    /// Values under a standard's names, if a unit has such.
    fn values(self, units: &[Unit]) -> Option<Table> {
        let with_values = units.iter().filter(|unit| !unit.values.is_empty());
        let names: BTreeSet<&str> =
            with_values.clone().flat_map(|unit| unit.values.keys()).map(String::as_str).collect();
        if names.is_empty() {
            return None;
        }
        let heads: Vec<&str> = ["UNIT"].into_iter().chain(names.iter().copied()).collect();
        let mut table = self.new_table(&heads, 1);
        for unit in with_values.clone().take(self.rows_max) {
            let value = |name: &&str| match unit.values.get(*name) {
                Some(Value::Number(number)) => format!("{number:.2}"),
                Some(Value::Word(word)) => word.clone(),
                None => "-".to_owned(),
            };
            table.add_row([unit.name.clone()].into_iter().chain(names.iter().map(value)));
        }
        more(&mut table, with_values.count(), self.rows_max);
        Some(table)
    }

    /// The vehicles of a fleet.
    pub(crate) fn vehicles(self, fleet: &Fleet) -> Table {
        let heads = ["VEHICLE", "SPEAKS", "STATE", "AT", "BATTERY %", "STOPS", "TASK", "WHY"];
        let mut table = self.new_table(&heads, 4);
        for at in [6, 7] {
            if let Some(column) = table.column_mut(at) {
                column.set_cell_alignment(CellAlignment::Left);
            }
        }
        for vehicle in fleet.vehicles.iter().take(self.rows_max) {
            let fine = !matches!(vehicle.state.as_str(), "lost" | "failed");
            table.add_row([
                Cell::new(&vehicle.name),
                Cell::new(&vehicle.speaks),
                self.mark(&vehicle.state, fine),
                Cell::new(&vehicle.at),
                Cell::new(format!("{:.0}", vehicle.battery_percent)),
                Cell::new(vehicle.stops),
                Cell::new(&vehicle.task),
                Cell::new(vehicle.why.first().map_or("", String::as_str)),
            ]);
        }
        more(&mut table, fleet.vehicles.len(), self.rows_max);
        table
    }

    fn devices(self, devices: &[Device]) -> Table {
        let heads = [
            "DEVICE",
            "STATE",
            "TRANSACTIONS",
            "ERRORS",
            "EXPIRED",
            "ROUND TRIP us p50/p99",
            "INPUT AGE ms p50/p99",
        ];
        let mut table = self.new_table(&heads, 2);
        for device in devices.iter().take(self.rows_max) {
            table.add_row([
                Cell::new(&device.name),
                self.mark(&device.state, device.is_online()),
                Cell::new(device.transactions),
                self.mark(&device.errors.to_string(), device.errors == 0),
                Cell::new(device.outputs_expired),
                Cell::new(format!("{:.0} / {:.0}", device.round_trip.p50_us, device.round_trip.p99_us)),
                Cell::new(format!(
                    "{:.2} / {:.2}",
                    device.input_age.p50_us / 1e3,
                    device.input_age.p99_us / 1e3
                )),
            ]);
        }
        more(&mut table, devices.len(), self.rows_max);
        table
    }
}

/// The pair in two lines.
pub(crate) fn pair(pair: &Pair) -> String {
    let peer = match (&pair.peer_role, pair.peer_heard) {
        (Some(role), true) => format!("peer {role}"),
        (_, false) => "peer not heard".to_owned(),
        (None, true) => "peer heard".to_owned(),
    };
    let links: Vec<_> = pair.links.iter().map(|link| if link.heard { "up" } else { "DOWN" }).collect();
    format!(
        "  pair: node {} is {} in epoch {}, {peer}, links {}, arbiter {}, {}\n  \
         pair: {} takeovers, longest heartbeat gap {:.1} ms, {} states verified, {} diverged\n",
        pair.node,
        pair.role,
        pair.epoch,
        links.join(" "),
        if pair.arbiter_reached { "reached" } else { "NOT REACHED" },
        pair.profile,
        pair.takeovers,
        pair.heartbeat_gap_max_us / 1e3,
        pair.states_verified,
        pair.states_diverged,
    )
}

/// The fleet in two lines.
pub(crate) fn fleet(fleet: &Fleet) -> String {
    let orders = fleet.orders;
    format!(
        "  fleet: {} vehicles, {} orders waiting, {} under way, {} done, {} failed, {} cancelled, utilisation {:.0} %\n  \
         fleet: dispatch ms p50/p99/max {:.0} / {:.0} / {:.0} (of that until a vehicle was found {:.0} / {:.0} / {:.0}), step us {}, {} steps\n",
        fleet.vehicles.len(),
        orders.waiting,
        orders.under_way,
        orders.done,
        orders.failed,
        orders.cancelled,
        fleet.utilisation_percent,
        fleet.dispatch.p50_us / 1e3,
        fleet.dispatch.p99_us / 1e3,
        fleet.dispatch.max_us / 1e3,
        fleet.assignment_wait.p50_us / 1e3,
        fleet.assignment_wait.p99_us / 1e3,
        fleet.assignment_wait.max_us / 1e3,
        three(&fleet.step_time),
        fleet.steps,
    )
}

fn heading(report: &Report) -> String {
    let phase = match report.phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Stopping => "stopping",
    };
    let broker = match &report.mqtt {
        Some(link) if link.connected => format!("broker {} connected", link.broker),
        Some(link) => format!("broker {} NOT connected", link.broker),
        None => "no broker".to_owned(),
    };
    format!("{}  {phase}  {:.1} s  {}  {broker}\n", report.site, report.uptime_s, plan(&report.plan))
}

/// The plan in force; others on their way are lines of their own.
fn plan(plan: &Plan) -> String {
    let mut text = format!("plan `{}` epoch {}", plan.name, plan.epoch);
    if !plan.digest.is_empty() {
        text.push_str(&format!(" ({:.8}) {}", plan.digest, plan.stage));
    }
    text
}

fn plans_on_their_way(plan: &Plan) -> String {
    let staged = plan.staged.iter().map(|staged| format!("  plan staged: {staged}\n"));
    let given_up = plan.given_up.iter().map(|given_up| format!("  plan given up: {given_up}\n"));
    staged.chain(given_up).collect()
}

fn three(times: &Distribution) -> String {
    format!("{:.0} / {:.0} / {:.0}", times.p50_us, times.p99_us, times.max_us)
}

fn more(table: &mut Table, all: usize, shown: usize) {
    if all > shown {
        table.add_row([format!("... and {} more", all - shown)]);
    }
}

fn commands(commands: &Commands) -> String {
    let mut text = format!(
        "commands: {} received, {} acknowledged, {} executed, {} refused",
        commands.received, commands.acknowledged, commands.executed, commands.refused
    );
    for (reason, count) in &commands.refused_by_reason {
        text.push_str(&format!("; {reason}: {count}"));
    }
    text.push('\n');
    text
}
