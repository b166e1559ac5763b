//! The hall of the simulated fleet: shelves in blocks, lanes round them, and bays along the walls.
//!
//! ```text
//! @@@@@@@@@@   bays: p for parking and c for charging along two walls,
//! @@p.c.p.@@   w for work stations along the other two; nobody is shut in
//! @........@
//! @w.......@   lanes two wide, so that vehicles pass each other
//! @..@@@@..@   shelves
//! @..@@@@..w   e beside a shelf
//! ```

/// Shelves of a block side by side.
const SHELF: usize = 4;
/// Lanes between blocks.
const LANES: usize = 2;
/// Places for each vehicle: dense enough to meet, loose enough to flow.
const PLACES_PER_VEHICLE: usize = 14;

/// A grid for so many vehicles, as JSON that a site can name as its layout.
#[must_use]
pub fn json(vehicles: u16) -> String {
    let rows: Vec<String> = rows(vehicles).into_iter().map(|row| format!("  \"{row}\"")).collect();
    format!("{{\n \"cellMeters\": 1.5,\n \"layout\": [\n{}\n ]\n}}\n", rows.join(",\n"))
}

/// Where loads are fetched and brought, by the names that a site gives to the cells of a grid.
#[must_use]
pub fn stations(vehicles: u16) -> Vec<String> {
    let mut stations = Vec::new();
    for (y, row) in rows(vehicles).iter().enumerate() {
        let of_row = row.chars().enumerate().filter(|(_, cell)| matches!(cell, 'w' | 'e'));
        stations.extend(of_row.map(|(x, _)| format!("x{x}y{y}")));
    }
    stations
}

/// Rows of cells, all equally long.
fn rows(vehicles: u16) -> Vec<String> {
    let blocks = (1..).find(|blocks| places(*blocks) >= usize::from(vehicles) * PLACES_PER_VEHICLE);
    let (width, height) = size(blocks.unwrap_or(1));
    // Two more for the bays and their walls on each side.
    (0..height + 4).map(|y| (0..width + 4).map(|x| cell(x, y, width, height)).collect()).collect()
}

/// Inner columns and rows of a hall with so many blocks across and twice as many downwards.
fn size(blocks: usize) -> (usize, usize) {
    let width = blocks * (SHELF + LANES) + LANES;
    let height = 2 * blocks * (1 + LANES) + LANES;
    (width, height)
}

fn places(blocks: usize) -> usize {
    let (width, height) = size(blocks);
    width * height - 2 * blocks * blocks * SHELF
}

fn cell(x: usize, y: usize, width: usize, height: usize) -> char {
    let inside = |at: usize, length: usize| (2..length + 2).contains(&at);
    match (inside(x, width), inside(y, height)) {
        (true, true) => inner(x - 2, y - 2, height),
        (true, false) if y == 1 || y == height + 2 => match (x % 2, x % 4) {
            (0, 0) => 'c',
            (0, _) => 'p',
            _ => '.',
        },
        (false, true) if x == 1 || x == width + 2 => {
            if y.is_multiple_of(2) {
                'w'
            } else {
                '.'
            }
        }
        _ => '@',
    }
}

fn inner(x: usize, y: usize, height: usize) -> char {
    let across = x % (SHELF + LANES);
    let down = y % (1 + LANES);
    let in_block = across >= LANES;
    match down {
        LANES if in_block && y < height - LANES => '@',
        // Above a shelf, in its middle.
        1 if across == LANES + 1 && y + LANES < height => 'e',
        _ => '.',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hall_has_room_bays_and_shelves_for_its_vehicles() {
        for vehicles in [1, 20, 200, 1000] {
            let rows = rows(vehicles);
            let count = |cell: char| rows.iter().flat_map(|row| row.chars()).filter(|c| *c == cell).count();
            assert!(rows.iter().all(|row| row.len() == rows[0].len()));
            assert!(count('.') + count('e') >= usize::from(vehicles) * 10, "{vehicles}");
            assert!(count('w') >= 4 && count('e') >= 2 && count('c') >= 2 && count('p') >= 2, "{vehicles}");
        }
    }

    #[test]
    fn whoever_is_in_a_bay_has_more_than_one_way_out() {
        let rows: Vec<Vec<char>> = rows(20).into_iter().map(|row| row.chars().collect()).collect();
        let free = |x: usize, y: usize| rows.get(y).and_then(|row| row.get(x)).is_some_and(|c| *c != '@');
        for (y, row) in rows.iter().enumerate() {
            for (x, cell) in row.iter().enumerate().filter(|(_, cell)| "wcp".contains(**cell)) {
                let ways = [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)];
                assert!(ways.iter().filter(|(x, y)| free(*x, *y)).count() >= 2, "{cell} at {x}, {y}");
            }
        }
    }
}
