//! A tree for people to read.

use std::fmt;

/// A line and what stands below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    label: String,
    children: Vec<Self>,
}

impl Tree {
    /// A line alone.
    pub fn leaf(label: impl Into<String>) -> Self {
        Self::new(label, Vec::new())
    }

    /// A line with others below it.
    pub fn new(label: impl Into<String>, children: Vec<Self>) -> Self {
        Self {
            label: label.into(),
            children,
        }
    }

    fn write_below(&self, formatter: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        let last = self.children.len().saturating_sub(1);
        for (index, child) in self.children.iter().enumerate() {
            let (branch, below) = if index == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            writeln!(formatter, "{indent}{branch}{}", child.label)?;
            child.write_below(formatter, &format!("{indent}{below}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.label)?;
        self.write_below(formatter, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_drawn_and_the_last_one_ends() {
        let tree = Tree::new(
            "card",
            vec![
                Tree::new("item", vec![Tree::leaf("claim")]),
                Tree::leaf("total"),
            ],
        );
        let drawn = "card\n├─ item\n│  └─ claim\n└─ total\n";
        assert_eq!(tree.to_string(), drawn);
    }
}
