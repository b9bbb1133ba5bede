//! Tables of bytes, as text and as a page of HTML that needs nothing beside it.

use std::fmt::Write;

/// A page: a title, tables, and sentences.
pub(crate) struct Report {
    title: String,
    tables: Vec<Table>,
    notes: Vec<String>,
}

/// Columns are as wide as their longest cell, up to this: a longer one only moves what is behind
/// it. (A width of the formatter ends at 65,535.)
const WIDEST: usize = 500;

/// A table whose last column is a number of bytes, which is drawn as a bar, too.
pub(crate) struct Table {
    title: &'static str,
    head: Vec<&'static str>,
    rows: Vec<(Vec<String>, u64)>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new<const N: usize>(title: &'static str, head: [&'static str; N]) -> Table {
        Table {
            title,
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N], bytes: u64) {
        self.rows.push((cells.to_vec(), bytes));
    }

    fn text(&self) -> String {
        let cells = |row: &(Vec<String>, u64)| {
            let mut cells = row.0.clone();
            cells.push(row.1.to_string());
            cells
        };
        let head = self.head.iter().map(|word| (*word).to_owned()).collect();
        let lines: Vec<Vec<String>> = [head]
            .into_iter()
            .chain(self.rows.iter().map(cells))
            .collect();
        let width = |column: usize| {
            let lens = lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.len());
            lens.max().unwrap_or(0).min(WIDEST)
        };
        let mut text = format!("{}\n", self.title);
        for line in &lines {
            let last = line.len() - 1;
            for (column, cell) in line.iter().enumerate() {
                let width = width(column);
                let _ = if column == last {
                    writeln!(text, "{cell:>width$}")
                } else {
                    write!(text, "  {cell:<width$}  ")
                };
            }
        }
        text
    }

    fn html(&self) -> String {
        let most = self.rows.iter().map(|row| row.1).max().unwrap_or(0).max(1);
        let mut text = format!("<h2>{}</h2>\n<table>\n<tr>", self.title);
        for word in &self.head {
            let _ = write!(text, "<th>{}</th>", escaped(word));
        }
        text.push_str("<th></th></tr>\n");
        for (cells, bytes) in &self.rows {
            text.push_str("<tr>");
            for cell in cells {
                let _ = write!(text, "<td>{}</td>", escaped(cell));
            }
            let share = *bytes as f64 * 100.0 / most as f64;
            let _ = writeln!(
                text,
                "<td class=\"n\">{bytes}</td><td class=\"bar\"><div style=\"width:{share:.1}%\"></div></td></tr>"
            );
        }
        text.push_str("</table>\n");
        text
    }
}

impl Report {
    /// A page without tables.
    pub(crate) fn new(title: String) -> Report {
        Report {
            title,
            tables: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a table; without rows it is left out.
    pub(crate) fn add(&mut self, table: Table) {
        if !table.rows.is_empty() {
            self.tables.push(table);
        }
    }

    /// Adds a sentence.
    pub(crate) fn note(&mut self, sentence: String) {
        self.notes.push(sentence);
    }

    /// The page as text.
    pub(crate) fn text(&self) -> String {
        let tables: Vec<String> = self.tables.iter().map(Table::text).collect();
        format!(
            "{}\n\n{}\n{}\n",
            self.title,
            tables.join("\n"),
            self.notes.join("\n")
        )
    }

    /// The page as HTML.
    pub(crate) fn html(&self) -> String {
        const STYLE: &str = "body{font:15px sans-serif;margin:2em;max-width:60em}table{border-collapse:collapse;width:100%}\
            td,th{text-align:left;padding:2px 8px;border-bottom:1px solid #ddd}.n{text-align:right}.bar{width:40%}\
            .bar div{background:#3a7bd5;height:12px}";
        let title = escaped(&self.title);
        let tables: String = self.tables.iter().map(Table::html).collect();
        let note = |note: &String| format!("<p>{}</p>\n", escaped(note));
        let notes: String = self.notes.iter().map(note).collect();
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\n\
             <body><h1>{title}</h1>\n{notes}{tables}</body></html>\n"
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_be_markup() {
        let mut table = Table::new("T", ["key", "bytes"]);
        table.row(["<b>&\"".to_owned()], 7);
        let mut report = Report::new("R".into());
        report.add(table);
        let html = report.html();
        assert!(html.contains("<td>&lt;b&gt;&amp;&quot;</td>"), "{html}");
        assert!(
            report.text().contains("  <b>&\"      7\n"),
            "{}",
            report.text()
        );
    }
}
