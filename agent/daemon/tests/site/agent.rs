//! A real `takt-agent` with its files, and what it says of itself.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use agent_status::{Pair, Report, Unit};
use hal_linux_rt::signal::{self, Signal};
use tempfile::TempDir;

/// The longest wait for anything that should come soon.
pub(crate) const WITHIN: Duration = Duration::from_secs(20);
/// The period of the loop group: long enough for a machine that is busy with other tests.
const PERIOD_MS: u64 = 20;

/// Looks again and again until there is something to see.
#[track_caller]
pub(crate) fn until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The files of a site with units WT01, WT02, ...
pub(crate) struct Site {
    folder: TempDir,
    devices: Vec<SocketAddr>,
    broker: Option<String>,
    sparkplug_group: Option<&'static str>,
    individual_pitch: bool,
    realtime: &'static str,
    period_ms: u64,
    pair: Option<PairNode>,
    /// The fleet's section; its layout is written beside it.
    fleet: String,
    /// Plants that control themselves: their sections, and their names for the plan.
    ders: String,
    der_names: Vec<String>,
    /// Whether the turbines run the law that estimates their wind.
    takt_law: bool,
    /// The section for signed plans; the trusted key is written beside it.
    plans: &'static str,
    /// The section for the agent's own control group.
    cgroup: String,
}

/// What a node of a pair has of its own.
#[derive(Debug, Clone)]
struct PairNode {
    node: &'static str,
    /// UDP ports of this node and of its peer, for each link.
    ports: [(u16, u16); 2],
}

impl Site {
    /// A site over these devices, whose plan runs all units.
    pub(crate) fn over(devices: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self {
            folder,
            devices: devices.to_vec(),
            broker: None,
            sparkplug_group: None,
            individual_pitch: false,
            realtime: "preferred",
            period_ms: PERIOD_MS,
            pair: None,
            fleet: String::new(),
            ders: String::new(),
            der_names: Vec::new(),
            takt_law: false,
            plans: "",
            cgroup: String::new(),
        };
        site.plan("all", "run");
        site.write();
        site
    }

    pub(crate) fn with_broker(mut self, url: &str) -> Self {
        self.broker = Some(url.to_owned());
        self.write();
        self
    }

    pub(crate) fn with_sparkplug(mut self, group: &'static str) -> Self {
        self.sparkplug_group = Some(group);
        self.write();
        self
    }

    /// Turbines whose blades are led one by one, from a description of their own.
    pub(crate) fn with_individual_pitch(mut self) -> Self {
        let description =
            format!("{}\n[tuning]\nindividual_pitch_radps = 0.2\n", control_loops_tuning::NREL_5MW);
        fs::write(self.folder().join("turbine.toml"), description).unwrap();
        fs::write(self.folder().join("rotor.txt"), control_loops_tuning::NREL_5MW_ROTOR).unwrap();
        self.individual_pitch = true;
        self.write();
        self
    }

    /// Plants behind SunSpec interfaces: 5 MW, reverting to 40 % after 8 s.
    pub(crate) fn with_ders(mut self, devices: &[SocketAddr]) -> Self {
        let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles/sunspec-der.toml");
        for (at, address) in devices.iter().enumerate() {
            let name = format!("DER{}", at + 1);
            self.ders += &format!(
                "[[bus]]\nname = \"{name}\"\ntcp = \"{address}\"\n\
                 [[device]]\nname = \"{name}\"\nbus = \"{name}\"\nprofile = \"{profile}\"\n\
                 [[der]]\nname = \"{name}\"\ndevice = \"{name}\"\ngroup = \"turbines\"\nrated_kw = 5000.0\n\
                 revert_s = 8\nrevert_percent = 40.0\n"
            );
            self.der_names.push(name);
        }
        self.plan("all", "run");
        self.write();
        self
    }

    /// The turbines feed in through this meter, with a ramp of 100 % in ten seconds.
    pub(crate) fn with_park(mut self, meter: SocketAddr) -> Self {
        let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles/sunspec-meter.toml");
        self.ders += &format!(
            "[[bus]]\nname = \"meter\"\ntcp = \"{meter}\"\n\
             [[device]]\nname = \"meter\"\nbus = \"meter\"\nprofile = \"{profile}\"\n\
             [[park]]\nname = \"PARK\"\ndevice = \"meter\"\ngroup = \"turbines\"\n\
             rise_percent_per_min = 600.0\nfall_percent_per_min = 600.0\n"
        );
        self.der_names.push("PARK".to_owned());
        self.takt_law = true;
        self.plan("all", "run");
        self.write();
        self
    }

    pub(crate) fn with_fleet(mut self, layout: &str, section: &str) -> Self {
        fs::write(self.folder().join("hall.json"), layout).unwrap();
        self.fleet = section.to_owned();
        self.write();
        self
    }

    /// Takes signed plans of whoever has the private half of this key.
    pub(crate) fn with_plans_of(mut self, public_pem: &str) -> Self {
        let keys = self.folder().join("keys");
        fs::create_dir_all(&keys).unwrap();
        fs::write(keys.join("centre.pem"), public_pem).unwrap();
        self.plans = "[plans]\nkeys = \"keys\"\n";
        self.write();
        self
    }

    /// The agent makes a group of its own with this name, and lays these limits on itself.
    pub(crate) fn with_group(mut self, name: &str, limits: &str) -> Self {
        self.cgroup = format!("[cgroup]\nname = \"{name}\"\n{limits}\n");
        self.write();
        self
    }

    pub(crate) fn with_period_ms(mut self, period_ms: u64) -> Self {
        self.period_ms = period_ms;
        self.write();
        self
    }

    pub(crate) fn with_realtime(mut self, wish: &'static str) -> Self {
        self.realtime = wish;
        self.write();
        self
    }

    /// Two nodes over these devices, of which the first carries the arbiter.
    pub(crate) fn pair_over(devices: &[SocketAddr]) -> [Self; 2] {
        let ports: Vec<_> = (0..4).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let ports: Vec<u16> = ports.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        let node = |node, ports| {
            let mut site = Self::over(devices);
            site.pair = Some(PairNode { node, ports });
            let key = site.folder().join("pair.key");
            fs::write(&key, "5a".repeat(32)).unwrap();
            fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
            site.write();
            site
        };
        [
            node("a", [(ports[0], ports[1]), (ports[2], ports[3])]),
            node("b", [(ports[1], ports[0]), (ports[3], ports[2])]),
        ]
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn socket(&self) -> PathBuf {
        self.folder().join("takt.sock")
    }

    /// Writes a plan that wants the same of all units.
    pub(crate) fn plan(&self, name: &str, request: &str) {
        let mut text = format!("name = \"{name}\"\nepoch = 1\n");
        for number in 1..=self.devices.len() {
            text += &format!("[[unit]]\nname = \"WT{number:02}\"\nrequest = \"{request}\"\n");
        }
        for name in &self.der_names {
            text += &format!("[[unit]]\nname = \"{name}\"\nrequest = \"{request}\"\n");
        }
        self.plan_text(&text);
    }

    pub(crate) fn plan_text(&self, text: &str) {
        fs::write(self.folder().join("plan.toml"), text).unwrap();
    }

    fn write(&self) {
        fs::write(self.folder().join("site.toml"), self.text("takt.sock", "state")).unwrap();
    }

    /// Another site file over the same devices.
    pub(crate) fn write_another(&self, socket: &str, state_dir: &str) -> PathBuf {
        let path = self.folder().join("another.toml");
        fs::write(&path, self.text(socket, state_dir)).unwrap();
        path
    }

    fn text(&self, socket: &str, state_dir: &str) -> String {
        let name = if self.individual_pitch { "nrel5mw-plc-individual-pitch" } else { "nrel5mw-plc" };
        let profile = format!("{}/../../profiles/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let turbine = if self.individual_pitch {
            "description = \"turbine.toml\"\nrotor_table = \"rotor.txt\""
        } else if self.takt_law {
            "model = \"nrel-5mw\"\nlaw = \"takt\""
        } else {
            "model = \"nrel-5mw\""
        };
        // Tests share their cores with others: slower answers are no fault here.
        let relaxed = fs::read_to_string(profile)
            .unwrap()
            .replace("max_age_ms = 100", "max_age_ms = 500")
            .replace("response_timeout_ms = 50", "response_timeout_ms = 250");
        fs::write(self.folder().join("profile.toml"), relaxed).unwrap();
        let mut text = format!(
            "name = \"test-site\"\nrealtime = \"{}\"\nplan = \"plan.toml\"\nstate_dir = \"{state_dir}\"\n\
             [admin]\nsocket = \"{socket}\"\nlisten = \"127.0.0.1:0\"\n\
             [log]\nformat = \"json\"\n\
             [stop]\nlimit_s = 120\n\
             [[group]]\nname = \"turbines\"\nperiod_us = {}\nbudget_us = {}\ncore = 0\npriority = 50\n\
             output_validity_us = 500000\nconsecutive_misses_max = 10000\n",
            self.realtime,
            self.period_ms * 1000,
            self.period_ms * 250
        );
        if let Some(broker) = &self.broker {
            text += &format!("[mqtt]\nbroker = \"{broker}\"\n");
            if let Some(group) = self.sparkplug_group {
                text += &format!("sparkplug_group = \"{group}\"\n");
            }
        }
        if let Some(PairNode { node, ports }) = &self.pair {
            let link = |(local, peer): &(u16, u16)| {
                format!("{{ local = \"127.0.0.1:{local}\", peer = \"127.0.0.1:{peer}\" }}")
            };
            text += &format!(
                "[pair]\nnode = \"{node}\"\nkey_file = \"pair.key\"\nlinks = [{}, {}]\n\
                 arbiter = {{ tcp = \"{}\", register = 200 }}\ncore = 0\npriority = 45\n",
                link(&ports[0]),
                link(&ports[1]),
                self.devices[0]
            );
        }
        for (at, address) in self.devices.iter().enumerate() {
            let name = format!("WT{:02}", at + 1);
            text += &format!(
                "[[bus]]\nname = \"{name}\"\ntcp = \"{address}\"\n\
                 [[device]]\nname = \"{name}\"\nbus = \"{name}\"\nprofile = \"profile.toml\"\n\
                 [[turbine]]\nname = \"{name}\"\ndevice = \"{name}\"\ngroup = \"turbines\"\n{turbine}\n"
            );
        }
        text + &self.ders + &self.fleet + self.plans + &self.cgroup
    }

    /// The agent's command line for this site.
    pub(crate) fn arguments(&self) -> [String; 2] {
        ["--config".to_owned(), self.folder().join("site.toml").display().to_string()]
    }

    /// Starts the agent and waits until it answers.
    pub(crate) fn start(&self) -> Agent {
        let mut command = Command::new(env!("CARGO_BIN_EXE_takt-agent"));
        command.args(self.arguments());
        self.start_as(command)
    }

    /// Starts the agent by this command and waits until it answers.
    #[track_caller]
    pub(crate) fn start_as(&self, mut command: Command) -> Agent {
        let log = self.folder().join("agent.log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let mut agent = Agent { child, socket: self.socket(), log };
        until("the agent answers", WITHIN, || {
            let ended = agent.child.try_wait().unwrap();
            assert!(ended.is_none(), "the agent ended: {ended:?}\n{}", agent.log());
            agent.try_report()
        });
        agent
    }
}

/// A running agent; killed when dropped.
pub(crate) struct Agent {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Agent {
    pub(crate) fn try_report(&self) -> Option<Report> {
        let (status, body) = get(UnixStream::connect(&self.socket).ok()?, "/v1/report").ok()?;
        assert_eq!(status, 200, "{body}");
        Some(serde_json::from_str(&body).expect("a report"))
    }

    pub(crate) fn report(&self) -> Report {
        self.try_report().unwrap_or_else(|| panic!("no report\n{}", self.log()))
    }

    /// The first report that is as wanted.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Report) -> bool) -> Report {
        self.until_within(what, WITHIN, is_so)
    }

    #[track_caller]
    pub(crate) fn until_within(
        &self,
        what: &str,
        within: Duration,
        is_so: impl Fn(&Report) -> bool,
    ) -> Report {
        let end = Instant::now() + within;
        let seen = until(what, within + Duration::from_secs(5), || {
            let report = self.report();
            (is_so(&report) || Instant::now() > end).then_some(report)
        });
        assert!(is_so(&seen), "not within {within:?}: {what}\n{seen:#?}\n{}", self.log());
        seen
    }

    /// Waits until all units run and deliver power.
    #[track_caller]
    pub(crate) fn until_all_run(&self) -> Report {
        self.until("all units run", |report| report.units.iter().all(runs))
    }

    /// Asks the TCP listener; answers with status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let line = self.log();
        let address = line
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|line| line["fields"]["address"].as_str().map(str::to_owned))
            .next_back()
            .expect("the log names the address");
        get(TcpStream::connect(address).unwrap(), path).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal::send(self.child.id(), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn until_it_ends(&mut self, within: Duration) -> ExitStatus {
        let child = &mut self.child;
        until("the agent ends", within, || child.try_wait().unwrap())
    }

    /// This process, and the one that it keeps, if it does.
    pub(crate) fn processes(&self) -> Vec<u32> {
        [vec![self.child.id()], self.kept()].concat()
    }

    /// Each thread's name and what the kernel says that it may do.
    pub(crate) fn effective_capabilities(&self) -> Vec<(String, u64)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks
            .map(|task| {
                let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
                let field = |name: &str| {
                    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                    line.trim().to_owned()
                };
                (field("Name:"), u64::from_str_radix(&field("CapEff:"), 16).unwrap())
            })
            .collect()
    }

    /// SIGKILL, to the process and to what it keeps.
    pub(crate) fn kill(&mut self) {
        let kept = self.kept();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for process in kept {
            kill(process);
        }
    }

    /// SIGKILL to the agent that this process keeps.
    pub(crate) fn kill_kept(&self) {
        let kept = self.kept();
        assert_eq!(kept.len(), 1, "a keeper has one child");
        kill(kept[0]);
    }

    /// The processes that this one keeps.
    fn kept(&self) -> Vec<u32> {
        let keeper = self.child.id();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"));
        children.unwrap_or_default().split_whitespace().filter_map(|child| child.parse().ok()).collect()
    }

    /// What the node says of the pair.
    pub(crate) fn pair(&self) -> Option<Pair> {
        self.try_report()?.pair
    }

    /// Asks the node to hand over; the status of the answer.
    pub(crate) fn ask_switchover(&self) -> u16 {
        request(UnixStream::connect(&self.socket).unwrap(), "POST", "/pair/switchover").unwrap().0
    }

    /// Asks for a trace; the status of the answer.
    pub(crate) fn ask_trace(&self) -> u16 {
        request(UnixStream::connect(&self.socket).unwrap(), "POST", "/trace").unwrap().0
    }

    /// Takes the processor away from it for a while.
    pub(crate) fn pause(&self, how_long: Duration) {
        pause(self.child.id(), how_long);
    }

    /// Likewise from the agent that it keeps.
    pub(crate) fn pause_kept(&self, how_long: Duration) {
        for process in self.kept() {
            pause(process, how_long);
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn runs(unit: &Unit) -> bool {
    matches!(unit.mode.as_str(), "run" | "derated") && unit.power_kw > 100.0
}

fn pause(process: u32, how_long: Duration) {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    std::thread::sleep(how_long);
    rustix::process::kill_process(process, rustix::process::Signal::CONT).unwrap();
}

fn kill(process: u32) {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    let _ = rustix::process::kill_process(process.unwrap(), rustix::process::Signal::KILL);
}

fn get(stream: impl Read + Write, path: &str) -> std::io::Result<(u16, String)> {
    request(stream, "GET", path)
}

fn request(mut stream: impl Read + Write, method: &str, path: &str) -> std::io::Result<(u16, String)> {
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: takt\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, body.to_owned()))
}
