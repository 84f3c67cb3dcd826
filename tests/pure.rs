//! Tests of the floors without IO: tables of text and what comes of it.

#[cfg(test)]
mod pure {
    mod ansible;
    mod example;
    mod fuzz;
    mod inventory;
    mod spec;
    mod template;
    mod yaml;
}
