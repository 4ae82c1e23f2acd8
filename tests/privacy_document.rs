//! `docs/privacy.md` says of every column that there is what it is for, and how long it is kept.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

fn columns(database: &Path) -> BTreeSet<String> {
    let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let find = "SELECT t.name || '.' || c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
                WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut statement = db.prepare(find).unwrap();
    statement.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Every row of the table below the heading has four cells that say something.
fn documented(document: &str, heading: &str) -> BTreeSet<String> {
    let section = document.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let mut columns = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
        assert!(columns.insert(cells[0].trim_matches('`').to_owned()), "{row} is there twice");
    }
    columns
}

#[tokio::test]
async fn every_column_is_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let document =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/privacy.md")).unwrap();
    let database = folder.path().join("waxseal.db");
    let store = store::SqliteStore::open(&database).unwrap();
    assert_eq!(
        columns(&database),
        documented(&document, "The store"),
        "left: what there is; right: docs/privacy.md"
    );
    store.close().await;

    let queue = store::SqliteQueue::open(folder.path(), 0).unwrap();
    let database = folder.path().join("queue.db");
    assert_eq!(
        columns(&database),
        documented(&document, "The queue"),
        "left: what there is; right: docs/privacy.md"
    );
    queue.close().await;
}
