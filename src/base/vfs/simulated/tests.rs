//! The simulated disk loses what it may lose, in every way, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::base::vfs::Vfs;

fn content(vfs: &SimulatedVfs, path: &str) -> Option<Vec<u8>> {
    let file = vfs.open(Path::new(path)).ok()?;
    let mut bytes = vec![0; 1000];
    let length = file.read_at(0, &mut bytes).unwrap();
    bytes.truncate(length);
    Some(bytes)
}

fn list(vfs: &SimulatedVfs) -> String {
    vfs.list(Path::new("")).unwrap().join("")
}

/// A disk with a safe file "a", and a handle of it.
fn disk_with_a_file(seed: u64, bytes: &[u8]) -> (SimulatedVfs, Box<dyn crate::base::vfs::VfsFile>) {
    let vfs = SimulatedVfs::new(seed);
    let file = vfs.create(Path::new("a")).unwrap();
    file.append(bytes).unwrap();
    file.sync().unwrap();
    vfs.sync_directory(Path::new("")).unwrap();
    (vfs, file)
}

#[test]
fn synced_bytes_survive_and_others_in_every_way() {
    let mut tails = BTreeSet::new();
    for seed in 0..400 {
        let (vfs, file) = disk_with_a_file(seed, b"safe");
        file.append(b"12").unwrap();
        file.append(b"34").unwrap();
        vfs.restart();
        assert!(file.append(b"x").is_err(), "handles of an earlier life are dead");
        let bytes = content(&vfs, "a").unwrap();
        assert!(bytes.starts_with(b"safe"));
        tails.insert(String::from_utf8_lossy(&bytes[4..]).replace('\0', "_"));
    }
    for expected in ["", "1", "12", "123", "1234", "1_", "1_3", "1_34", "__", "__3", "__34"] {
        assert!(tails.contains(expected), "{expected}: {tails:?}");
    }
    assert!(tails.iter().any(|tail| tail.contains(|c: char| !"1234_".contains(c))), "garbage: {tails:?}");
}

#[test]
fn unsynced_names_survive_in_every_way() {
    let mut fates = BTreeSet::new();
    for seed in 0..400 {
        let (vfs, _) = disk_with_a_file(seed, b"");
        vfs.create(Path::new("b")).unwrap();
        vfs.rename(Path::new("b"), Path::new("c")).unwrap();
        vfs.create(Path::new("d")).unwrap();
        vfs.remove(Path::new("a")).unwrap();
        vfs.restart();
        fates.insert(list(&vfs));
    }
    // Without a journal the last change may be there and the first not, and a file may have both its names.
    for expected in ["a", "ab", "ac", "acd", "cd", "", "ad", "c", "abd", "bd", "b", "d", "abc"] {
        assert!(fates.contains(expected), "{expected}: {fates:?}");
    }
}

#[test]
fn a_directory_is_synced_alone() {
    let lost = (0..50).filter(|&seed| {
        let vfs = SimulatedVfs::new(seed);
        vfs.create_directory(Path::new("wal")).unwrap();
        vfs.create(Path::new("wal/a")).unwrap();
        vfs.create(Path::new("b")).unwrap();
        vfs.sync_directory(Path::new("")).unwrap();
        vfs.restart();
        assert!(vfs.exists(Path::new("b")).unwrap());
        !vfs.exists(Path::new("wal/a")).unwrap()
    });
    assert!((10..40).contains(&lost.count()));
}

#[test]
fn faults_strike_as_planned() {
    let vfs = SimulatedVfs::new(7);
    let file = vfs.create(Path::new("a")).unwrap();
    vfs.fail_at(vfs.operations(), Fault::Full);
    assert_eq!(file.append(b"0123456789").unwrap_err().sqlstate(), "53100");
    assert!(file.len().unwrap() <= 10);
    vfs.fail_at(vfs.operations(), Fault::Error);
    assert!(file.sync().is_err());
    vfs.fail_at(vfs.operations() + 1, Fault::Crash);
    file.sync().unwrap();
    assert!(file.sync().is_err() && vfs.is_down() && vfs.list(Path::new("")).is_err());
    vfs.restart();
    assert!(!vfs.is_down());
    vfs.list(Path::new("")).unwrap();
    vfs.fail_randomly(4, Fault::Error);
    let failed = (0..1000).filter(|_| vfs.list(Path::new("")).is_err()).count();
    assert!((150..350).contains(&failed), "{failed}");
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next() {
    let (mut lost, mut forgotten) = (0, 0);
    for seed in 0..100 {
        let (vfs, file) = disk_with_a_file(seed, b"o");
        let other = vfs.open(Path::new("a")).unwrap();
        file.write_at(0, b"x").unwrap();
        vfs.fail_at(vfs.operations(), Fault::Error);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert!(other.sync().is_err(), "every handle is told");
        other.sync().unwrap();
        vfs.open(Path::new("a")).unwrap().sync().unwrap();
        assert_eq!(file.len().unwrap(), 1);
        let seen: BTreeSet<_> = (0..20).map(|_| content(&vfs, "a").unwrap()).collect();
        // For a while there is what was written, then what the disk has.
        forgotten += usize::from(seen.contains(&b"x"[..]) && seen.contains(&b"o"[..]));
        vfs.restart();
        lost += usize::from(content(&vfs, "a").unwrap() != b"x");
    }
    assert!(lost > 20 && forgotten > 10, "{lost} {forgotten}");
}

#[test]
fn a_late_failure_is_told_by_the_next_sync() {
    let lost = (0..100).filter(|&seed| {
        let (vfs, file) = disk_with_a_file(seed, b"");
        vfs.fail_at(vfs.operations(), Fault::Late);
        file.append(b"x").unwrap();
        assert!(file.sync().is_err());
        file.sync().unwrap();
        vfs.restart();
        content(&vfs, "a").unwrap() != b"x"
    });
    assert!(lost.count() > 20);
}

#[test]
fn a_kill_loses_nothing_until_power_is_lost() {
    let lost = (0..100).filter(|&seed| {
        let (vfs, file) = disk_with_a_file(seed, b"");
        let lock = vfs.lock(Path::new("LOCK")).unwrap();
        file.append(b"x").unwrap();
        vfs.create(Path::new("b")).unwrap();
        vfs.fail_at(vfs.operations(), Fault::Crash);
        assert!(file.sync().is_err() && vfs.is_down());
        vfs.kill();
        assert!(file.append(b"y").is_err(), "a dead process writes nothing");
        assert_eq!((content(&vfs, "a").unwrap(), list(&vfs)), (b"x".to_vec(), "LOCKab".to_string()));
        let mine = vfs.lock(Path::new("LOCK")).unwrap();
        drop(lock);
        assert!(vfs.lock(Path::new("LOCK")).is_err(), "the lock of a dead process is not released again");
        drop(mine);
        vfs.restart();
        content(&vfs, "a").unwrap() != b"x"
    });
    assert!((10..90).contains(&lost.count()));
}

#[test]
fn a_flipped_bit_stays() {
    let (vfs, file) = disk_with_a_file(1, b"a");
    vfs.flip(Path::new("a"), 1).unwrap();
    assert_eq!(content(&vfs, "a").unwrap(), b"c");
    file.append(b"b").unwrap();
    vfs.restart();
    assert_eq!(content(&vfs, "a").unwrap()[0], b'c');
    assert!(vfs.flip(Path::new("a"), 8000).is_err() && vfs.flip(Path::new("b"), 0).is_err());
}

#[test]
fn space_ends_and_returns() {
    let (vfs, file) = disk_with_a_file(1, b"1234");
    vfs.limit_space(Some(6));
    assert_eq!(file.append(b"567").unwrap_err().sqlstate(), "53100");
    assert_eq!(vfs.space_used(), 6);
    file.write_at(0, b"ab").unwrap();
    assert_eq!(file.allocate(7).unwrap_err().sqlstate(), "53100");
    let other = vfs.create(Path::new("b")).unwrap();
    assert!(other.append(b"x").is_err());
    vfs.remove(Path::new("a")).unwrap();
    other.append(b"xyz").unwrap();
    vfs.limit_space(None);
    other.allocate(100).unwrap();
}
