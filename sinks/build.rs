//! `sqlx::migrate!` reads the migrations at compile time: a new file has to be noticed.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
