//! The key table against a map of printed keys.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::*;
use crate::state::testing::{Random, one_zero, random_rows, texts};

fn arrays(random: &mut Random, rows: usize) -> Vec<ArrayRef> {
    let small = |random: &mut Random| (random.below(7) > 0).then(|| random.below(6) as i64);
    let ints: Vec<Option<i64>> = (0..rows).map(|_| small(random)).collect();
    let lists = ListArray::from_iter_primitive::<Float64Type, _, _>((0..rows).map(|_| {
        small(random).map(|n| (0..n % 3).map(|i| (i > 0).then_some(if n > 3 { -0.0 } else { 0.0 })).collect::<Vec<_>>())
    }));
    let text: Vec<Option<String>> =
        (0..rows).map(|_| small(random).map(|n| "some text ".repeat(n as usize % 3) + &n.to_string())).collect();
    vec![
        Arc::new(Int64Array::from(ints.clone())),
        Arc::new(ints.iter().map(|v| v.map(|v| v > 2)).collect::<BooleanArray>()),
        Arc::new(ints.iter().map(|v| v.map(|v| v as i8 - 3)).collect::<Int8Array>()),
        Arc::new((0..rows).map(|_| small(random).map(|v| v as i16)).collect::<Int16Array>()),
        Arc::new((0..rows).map(|_| small(random).map(|v| v as i32 - 3)).collect::<Date32Array>()),
        Arc::new(
            (0..rows)
                .map(|_| small(random).map(|v| v << 40))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new(
            (0..rows)
                .map(|_| small(random).map(|v| (i128::from(v) - 3) << 70))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(38, 2)
                .unwrap(),
        ),
        Arc::new(
            (0..rows)
                .map(|_| small(random).map(|v| arrow::datatypes::i256::from_i128(i128::from(v) - 3)))
                .collect::<Decimal256Array>()
                .with_precision_and_scale(70, 2)
                .unwrap(),
        ),
        Arc::new(text.iter().map(Option::as_deref).collect::<StringViewArray>()),
        Arc::new(text.iter().map(Option::as_deref).collect::<StringArray>()),
        Arc::new(text.iter().map(|v| v.as_deref().map(str::as_bytes)).collect::<BinaryViewArray>()),
        Arc::new(lists),
        random_rows(random, rows, 4).column(2).clone(),
        Arc::new(NullArray::new(rows)),
    ]
}

/// Printed, with -0.0 as 0.0.
fn printed(columns: &[ArrayRef], rows: usize) -> Vec<String> {
    texts(columns, rows).into_iter().map(|text| one_zero(&text)).collect()
}

fn check_history(choice: &[usize], seed: u64) {
    let mut random = Random::new(seed);
    let pick = |all: Vec<ArrayRef>| choice.iter().map(|&i| all[i].clone()).collect::<Vec<_>>();
    let types: Vec<DataType> = pick(arrays(&mut random, 0)).iter().map(|array| array.data_type().clone()).collect();
    let mut table = KeyTable::new(&types).unwrap();
    let mut model: HashMap<String, u32> = HashMap::new();
    let mut groups = vec![9; 3];
    for step in 0..30 {
        let rows = [0, 1, 7, 70, 1500][random.below(5) as usize];
        let keys = pick(arrays(&mut random, rows));
        let names = printed(&keys, rows);
        table.find(&keys, rows, &mut groups).unwrap();
        let expected: Vec<u32> = names.iter().map(|name| *model.get(name).unwrap_or(&NO_GROUP)).collect();
        assert_eq!(groups, expected, "columns {choice:?} seed {seed} step {step}");
        table.intern(&keys, rows, &mut groups).unwrap();
        for (name, &group) in names.iter().zip(&groups) {
            let known = *model.entry(name.clone()).or_insert(group);
            assert_eq!(known, group, "columns {choice:?} seed {seed} step {step}: {name}");
        }
        let ids: std::collections::BTreeSet<u32> = model.values().copied().collect();
        assert_eq!(ids.len(), model.len(), "columns {choice:?} seed {seed}: an id for two keys");
        assert_eq!(table.len(), model.len());
        assert!(ids.iter().all(|&id| (id as usize) < table.capacity()));
        let (names, ids): (Vec<String>, Vec<u32>) = model.clone().into_iter().unzip();
        let back = table.keys(&ids).unwrap();
        assert!(back.iter().zip(&types).all(|(array, data_type)| array.data_type() == data_type));
        assert_eq!(printed(&back, ids.len()), if choice.is_empty() { vec![String::new(); ids.len()] } else { names });
        model.retain(|_, id| {
            let keep = random.below(3) > 0;
            if !keep {
                table.release(&[*id, *id, u32::MAX, 1 << 30]);
            }
            keep
        });
        assert_eq!(table.len(), model.len());
    }
    assert!(table.capacity() <= 20_000);
}

#[test]
fn equal_keys_share_an_id_for_every_type_and_mix() {
    for column in 0..14 {
        check_history(&[column], column as u64 + 1);
    }
    let mixes: &[&[usize]] = &[
        &[],
        &[0, 4],
        &[0, 5],
        &[1, 2, 3, 4],
        &[6, 1],
        &[0, 6],
        &[2, 6, 0],
        &[0, 5, 12],
        &[6, 6],
        &[0, 8],
        &[8, 9, 11],
        &[12, 13],
        &[7, 0],
    ];
    for (number, mix) in mixes.iter().enumerate() {
        check_history(mix, 100 + number as u64);
    }
}

#[test]
fn zeros_and_nans_are_one_key_each() {
    let floats: ArrayRef =
        Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001), 1.0]));
    let ones: ArrayRef = Arc::new(StringViewArray::from(vec!["x"; 6]));
    for (types, keys) in [
        (vec![DataType::Float64], vec![floats.clone()]),
        (vec![DataType::Float64, DataType::Utf8View], vec![floats.clone(), ones]),
    ] {
        let mut table = KeyTable::new(&types).unwrap();
        let mut groups = vec![];
        table.intern(&keys, 6, &mut groups).unwrap();
        assert_eq!(groups, [0, 0, 1, 1, 1, 2]);
        let back = table.keys(&[0, 1]).unwrap();
        assert_eq!(back[0].as_primitive::<Float64Type>().value(0).to_bits(), 0);
        assert_eq!(back[0].as_primitive::<Float64Type>().value(1).to_bits(), f64::NAN.to_bits());
    }
}

#[test]
fn an_emptied_table_comes_back_with_its_ids() {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
    let mut table = KeyTable::new(&[DataType::Int64]).unwrap();
    let mut groups = vec![];
    for _ in 0..3 {
        table.intern(std::slice::from_ref(&keys), 10_000, &mut groups).unwrap();
        assert_eq!((table.len(), table.capacity()), (10_000, 10_000));
        assert_eq!(table.keys(&groups).unwrap()[0].as_primitive::<Int64Type>(), keys.as_primitive::<Int64Type>());
        table.release(&groups);
        assert!(table.is_empty());
        table.find(std::slice::from_ref(&keys), 10_000, &mut groups).unwrap();
        assert!(groups.iter().all(|&group| group == NO_GROUP));
    }
}

#[test]
fn a_sliced_array_is_read_at_its_offset() {
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)]).slice(1, 2));
    let mut table = KeyTable::new(&[DataType::Int64]).unwrap();
    let mut groups = vec![];
    table.intern(&[keys], 2, &mut groups).unwrap();
    let back = table.keys(&groups).unwrap();
    assert_eq!(back[0].as_primitive::<Int64Type>(), &Int64Array::from(vec![None, Some(3)]));
}

#[test]
fn wrong_columns_are_refused() {
    let mut table = KeyTable::new(&[DataType::Int64]).unwrap();
    let mut groups = vec![];
    let text: ArrayRef = Arc::new(StringViewArray::from(vec!["x"]));
    assert!(table.intern(std::slice::from_ref(&text), 1, &mut groups).is_err());
    assert!(table.intern(&[], 1, &mut groups).is_err());
    assert!(table.find(&[text], 2, &mut groups).is_err());
}
