use std::fs;

use tempfile::TempDir;

use super::*;

fn kept(version: u64) -> Kept {
    let manifest = Bytes::from(format!("manifest of {version}\nwith a second line"));
    Kept {
        version,
        digest: hex_sha256(&manifest),
        group: "default".to_owned(),
        store_id: "store".to_owned(),
        manifest,
        bodies: vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from(version.to_string())],
    }
}

fn slots(directory: &TempDir) -> Slots {
    Slots::open(DataDir::open(directory.path()).unwrap())
}

fn found(boot: &Boot) -> Vec<(Slot, u64)> {
    boot.candidates.iter().map(|(slot, kept)| (*slot, kept.version)).collect()
}

/// A directory in which versions 1 and 2 have proved themselves and 3 is pending.
fn lived_in() -> TempDir {
    let directory = TempDir::new().unwrap();
    let mut slots = slots(&directory);
    for version in [1, 2] {
        slots.save(&kept(version)).unwrap();
        slots.confirm(&kept(version).digest).unwrap();
    }
    slots.save(&kept(3)).unwrap();
    slots.ended_well();
    directory
}

#[test]
fn a_version_comes_back_as_it_was_saved() {
    let directory = TempDir::new().unwrap();
    slots(&directory).save(&kept(7)).unwrap();
    assert_eq!(slots(&directory).load(Slot::Pending).unwrap(), Some(kept(7)));
}

#[test]
fn the_youngest_version_is_tried_first_and_the_older_ones_after_it() {
    let directory = lived_in();
    let boot = slots(&directory).boot();
    assert_eq!(found(&boot), [(Slot::Pending, 3), (Slot::Current, 2), (Slot::Previous, 1)]);
}

#[test]
fn two_crashes_within_the_time_of_proof_go_back_and_refuse_the_digest() {
    let directory = lived_in();
    // Neither start says `ended_well`, as a crash would not.
    assert_eq!(slots(&directory).boot().given_up, None);
    assert_eq!(slots(&directory).boot().given_up, None);

    let mut third = slots(&directory);
    let boot = third.boot();
    assert_eq!(boot.given_up, Some(GivenUp { version: 3, digest: kept(3).digest }));
    assert_eq!(found(&boot), [(Slot::Current, 2), (Slot::Previous, 1)]);
    assert!(third.refuses(&kept(3).digest));

    let mut fourth = slots(&directory);
    assert!(fourth.refuses(&kept(3).digest));
    fourth.save(&kept(3)).unwrap();
    assert!(!fourth.refuses(&kept(3).digest));
}

#[test]
fn an_activation_in_a_running_process_counts_as_its_first_start() {
    let directory = lived_in();
    slots(&directory).save(&kept(4)).unwrap();
    assert_eq!(slots(&directory).boot().given_up, None);
    assert_eq!(slots(&directory).boot().given_up.unwrap().version, 4);
}

#[test]
fn orderly_restarts_are_no_crashes() {
    let directory = lived_in();
    for _ in 0..5 {
        let mut slots = slots(&directory);
        assert_eq!(slots.boot().given_up, None);
        slots.ended_well();
    }
}

#[test]
fn a_version_that_proved_itself_is_never_given_up() {
    let directory = lived_in();
    let mut first = slots(&directory);
    first.boot();
    first.confirm(&kept(3).digest).unwrap();
    for _ in 0..5 {
        let boot = slots(&directory).boot();
        assert_eq!(boot.given_up, None);
        assert_eq!(found(&boot), [(Slot::Current, 3), (Slot::Previous, 2)]);
    }
}

#[test]
fn the_life_of_one_version_does_not_prove_another_that_is_pending() {
    let directory = lived_in();
    let mut slots = slots(&directory);
    // Version 3 could not be applied, so the process serves from 2.
    slots.boot();
    slots.confirm(&kept(2).digest).unwrap();
    assert_eq!(found(&slots.boot()), [(Slot::Pending, 3), (Slot::Current, 2), (Slot::Previous, 1)]);
}

#[test]
fn the_only_version_there_is_is_not_given_up() {
    let directory = TempDir::new().unwrap();
    slots(&directory).save(&kept(1)).unwrap();
    for _ in 0..5 {
        assert_eq!(found(&slots(&directory).boot()), [(Slot::Pending, 1)]);
    }
}

#[test]
fn a_damaged_slot_falls_to_the_next_one_wherever_the_damage_is() {
    let directory = lived_in();
    let path = directory.path().join("pending");
    let whole = fs::read(&path).unwrap();
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).step_by(7).map(|cut| whole[..cut].to_vec()).collect();
    damaged.extend((0..whole.len()).step_by(5).map(|place| {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        bytes
    }));
    damaged.push([whole.as_slice(), b"more"].concat());
    damaged.push(vec![0xff; 4096]);
    for bytes in damaged {
        fs::write(&path, &bytes).unwrap();
        assert_eq!(found(&slots(&directory).boot()), [(Slot::Current, 2), (Slot::Previous, 1)]);
    }
}

#[test]
fn a_damaged_journal_begins_anew() {
    let directory = lived_in();
    fs::write(directory.path().join(JOURNAL), b"{\"version\":").unwrap();
    assert_eq!(found(&slots(&directory).boot()).len(), 3);
}

#[test]
fn crashes_of_a_young_version_are_counted_also_when_the_journal_does_not_know_it() {
    for journal in [b"{\"version\":".as_slice(), br#"{"version":2,"digest":"other","starts":1,"refused":[]}"#]
    {
        let directory = lived_in();
        fs::write(directory.path().join(JOURNAL), journal).unwrap();
        assert_eq!(slots(&directory).boot().given_up, None);
        assert_eq!(slots(&directory).boot().given_up, None);
        assert_eq!(slots(&directory).boot().given_up.unwrap().version, 3);
    }
}

#[test]
fn a_crash_between_the_two_renames_of_a_confirmation_loses_nothing() {
    let directory = lived_in();
    fs::rename(directory.path().join("current"), directory.path().join("previous")).unwrap();
    assert_eq!(found(&slots(&directory).boot()), [(Slot::Pending, 3), (Slot::Previous, 2)]);
}
