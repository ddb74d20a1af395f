//! The digest of the records themselves, sealed or not.

use sealnet_core::sign::Digest512;

use crate::dataset::Dataset;

/// SHA-512 over all that a data set is but its name, sealed or not: what training saw, what was kept for the
/// test, and what the numbers stand for.
///
/// ```text
/// label         "sealnet/v1/records" 0x00
/// axes          u64 number, then u64 length of each
/// classes       u16
/// class names   u64 number (0: none), then each
/// parts         u64 number, then each: name, u64 records
/// scaling       u64 number (0: none), then each: name, f64 offset, f64 scale
/// headings      u64 number (0: none), then of the label's column and of each feature's
/// records       u64 number, then each: u16 label, features
/// ```
///
/// Numbers are little-endian (`f64` by its IEEE 754 bits); a name is its length in bytes, u64, and its UTF-8.
pub fn records_digest(data: &Dataset) -> Digest512 {
    use sha2::Digest;
    let mut hash = sha2::Sha512::new();
    let mut put = |bytes: &[u8]| hash.update(bytes);
    let number = |n: usize| (n as u64).to_le_bytes();
    let name = |put: &mut dyn FnMut(&[u8]), name: &str| {
        put(&number(name.len()));
        put(name.as_bytes());
    };
    put(b"sealnet/v1/records\0");
    put(&number(data.shape.len()));
    for &axis in &data.shape {
        put(&number(axis));
    }
    put(&data.classes.to_le_bytes());
    let class_names = data.class_names.as_deref().unwrap_or_default();
    put(&number(class_names.len()));
    for class in class_names {
        name(&mut put, class);
    }
    put(&number(data.parts.len()));
    for part in &data.parts {
        name(&mut put, &part.name);
        put(&part.len.to_le_bytes());
    }
    let scaling = data.scaling.as_deref().unwrap_or_default();
    put(&number(scaling.len()));
    for column in scaling {
        name(&mut put, &column.name);
        put(&column.offset.to_le_bytes());
        put(&column.scale.to_le_bytes());
    }
    let headings = data.headings.as_ref();
    put(&number(headings.map_or(0, |h| 1 + h.features.len())));
    if let Some(headings) = headings {
        name(&mut put, &headings.label);
        for heading in &headings.features {
            name(&mut put, heading);
        }
    }
    put(&number(data.count()));
    let width = data.feature_count().max(1);
    for (label, features) in data.labels.iter().zip(data.features.chunks_exact(width)) {
        put(&label.to_le_bytes());
        put(features);
    }
    hash.finalize().into()
}
