//! The reference data of a run: the documented example, and shoppers enough to be paid.

use std::{fs, path::Path};

use serde_json::{Value, json};

/// The smart link of the example.
pub const LINK: &str = "7a1f3c52-0c1e-4a53-9a51-3f6b2f1d0005";
/// Shoppers besides those of the example.
pub const SHOPPERS: i32 = 60;

/// A shopper's id.
pub fn shopper(number: i32) -> String {
    format!("7a1f3c52-0c1e-4a53-9a51-3f6b2f1e{number:04}")
}

/// Writes the file that `hissaback reference import` reads.
pub fn write(path: &Path) {
    let example = include_str!("../../schemas/examples/reference.json");
    let mut file: Value = serde_json::from_str(example).expect("JSON");
    let users = file["users"].as_array_mut().expect("a list");
    users.extend((0..SHOPPERS).map(|number| {
        json!({
            "user_id": shopper(number),
            "phone": format!("+91 98451 {number:05}"),
            "email": format!("shopper{number}@kill.example"),
        })
    }));
    fs::write(path, file.to_string()).expect("written");
}
