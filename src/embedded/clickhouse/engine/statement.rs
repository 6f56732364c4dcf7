//! Looks at a statement just closely enough to know how to run it: an INSERT whose data is to be
//! streamed, a SELECT whose result can be, or anything else.

use std::ops::Range;

use super::failure::EngineFailure;

/// How a statement is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    /// `INSERT INTO … [FORMAT f | VALUES]`, data following.
    Insert {
        /// The text without format and data.
        head: Range<usize>,
        /// Format of the data.
        format: String,
        /// Where in the text data begins; at its end when all of it comes in the body.
        data: Range<usize>,
    },
    /// `SELECT` or `WITH … SELECT`.
    Select {
        /// The format that the text itself asks for.
        format: Option<String>,
    },
    /// Whatever else; no data may follow it.
    Other {
        /// The format that the text itself asks for.
        format: Option<String>,
    },
}

impl Statement {
    /// Classifies `text`, which must be one statement: like ClickHouse's HTTP interface, this one
    /// doesn't run several.
    pub(super) fn parse(text: &[u8]) -> Result<Self, EngineFailure> {
        let mut tokens = Tokens::new(text);
        let Some(first) = tokens
            .clone()
            .find(|token| token.kind != Kind::Symbol(b'('))
        else {
            return Err(EngineFailure::syntax("the query is empty"));
        };
        if first.names(text, "INSERT")
            && let Some(insert) = parse_insert(text, &mut tokens)?
        {
            return Ok(insert);
        }
        let format = parse_rest(text)?;
        // `WITH … INSERT … SELECT` writes.
        let writes = Tokens::new(text).any(|token| token.depth == 0 && token.names(text, "INSERT"));
        if (first.names(text, "SELECT") || first.names(text, "WITH")) && !writes {
            Ok(Self::Select { format })
        } else {
            Ok(Self::Other { format })
        }
    }
}

/// Reads an INSERT up to its data; `None` for one that takes its rows from a SELECT.
fn parse_insert(text: &[u8], tokens: &mut Tokens<'_>) -> Result<Option<Statement>, EngineFailure> {
    skip_target(text, tokens);
    for token in tokens.by_ref() {
        if token.depth > 0 {
            continue;
        }
        if token.names(text, "SELECT") || token.names(text, "WITH") || token.names(text, "FROM") {
            return Ok(None);
        }
        if token.names(text, "VALUES") {
            return Ok(Some(Statement::Insert {
                head: 0..token.range.start,
                format: "Values".to_owned(),
                data: without_end_of_statement(text, token.range.end),
            }));
        }
        if token.names(text, "FORMAT") {
            let head = 0..token.range.start;
            let name = tokens
                .next()
                .filter(|name| name.kind == Kind::Word)
                .ok_or_else(|| EngineFailure::syntax("FORMAT is followed by no name"))?;
            return Ok(Some(Statement::Insert {
                head,
                format: lossy(text, &name.range),
                data: after_line_end(text, name.range.end),
            }));
        }
        if token.kind == Kind::Symbol(b';') {
            break;
        }
    }
    Err(EngineFailure::syntax(
        "the INSERT names no format and has no values",
    ))
}

/// Skips `INSERT INTO [TABLE] [FUNCTION] name[.name]`, whose names may look like keywords.
fn skip_target(text: &[u8], tokens: &mut Tokens<'_>) {
    let mut after_dot = true;
    while let Some(token) = tokens.clone().next() {
        let keyword = ["INSERT", "INTO", "TABLE", "FUNCTION"]
            .iter()
            .any(|keyword| token.names(text, keyword));
        let dot = token.kind == Kind::Symbol(b'.');
        if !(keyword || dot || after_dot && matches!(token.kind, Kind::Word | Kind::Quoted)) {
            return;
        }
        after_dot = keyword || dot;
        tokens.next();
    }
}

/// The format that the statement ends with, if it does; an error if another statement follows.
fn parse_rest(text: &[u8]) -> Result<Option<String>, EngineFailure> {
    let mut format = None;
    let mut ended = false;
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next() {
        if ended {
            return Err(EngineFailure::syntax(
                "several statements in one query are not allowed",
            ));
        }
        ended = token.kind == Kind::Symbol(b';');
        if token.depth == 0 && token.names(text, "FORMAT") {
            let mut ahead = tokens.clone();
            let name = ahead.next().filter(|name| name.kind == Kind::Word);
            let last = ahead.next().is_none_or(|next| {
                next.kind == Kind::Symbol(b';')
                    || next.names(text, "SETTINGS")
                    || next.names(text, "INTO")
            });
            if let (Some(name), true) = (name, last) {
                format = Some(lossy(text, &name.range));
            }
        }
    }
    Ok(format)
}

fn lossy(text: &[u8], range: &Range<usize>) -> String {
    String::from_utf8_lossy(&text[range.clone()]).into_owned()
}

/// Data begins after the rest of the line, if that is blank.
fn after_line_end(text: &[u8], from: usize) -> Range<usize> {
    let blank = text[from..]
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b';'))
        .count();
    let start = match text.get(from + blank) {
        Some(b'\n') => from + blank + 1,
        Some(_) => from + usize::from(text[from] == b' '),
        None => text.len(),
    };
    start..text.len()
}

/// Inline rows end with the text, less a semicolon and blanks at its end.
fn without_end_of_statement(text: &[u8], from: usize) -> Range<usize> {
    let kept = text[from..]
        .iter()
        .rposition(|byte| !byte.is_ascii_whitespace() && *byte != b';')
        .map_or(0, |last| last + 1);
    from..from + kept
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A keyword, a bare name or a number.
    Word,
    /// A string, or a name in quotes.
    Quoted,
    Symbol(u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    kind: Kind,
    range: Range<usize>,
    /// How many brackets are open around it.
    depth: usize,
}

impl Token {
    /// Whether it is this keyword, in either case.
    fn names(&self, text: &[u8], keyword: &str) -> bool {
        self.kind == Kind::Word && text[self.range.clone()].eq_ignore_ascii_case(keyword.as_bytes())
    }
}

/// The tokens of a statement, without blanks and comments.
#[derive(Debug, Clone)]
struct Tokens<'a> {
    text: &'a [u8],
    position: usize,
    depth: usize,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            position: 0,
            depth: 0,
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.position..]
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            let rest = self.rest();
            let length = if rest.starts_with(b"--") || rest.starts_with(b"# ") {
                find(rest, b"\n").unwrap_or(rest.len())
            } else if rest.starts_with(b"/*") {
                find(rest, b"*/").map_or(rest.len(), |end| end + 2)
            } else {
                rest.iter()
                    .take_while(|byte| byte.is_ascii_whitespace())
                    .count()
            };
            if length == 0 {
                return;
            }
            self.position += length;
        }
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blanks_and_comments();
        let rest = self.rest();
        let first = *rest.first()?;
        let (kind, length) = match first {
            b'\'' | b'"' | b'`' => (Kind::Quoted, quoted_length(rest, first)),
            _ if word_byte(first) => {
                let length = rest.iter().take_while(|byte| word_byte(**byte)).count();
                (Kind::Word, length)
            }
            b'$' => (Kind::Quoted, heredoc_length(rest)),
            _ => (Kind::Symbol(first), 1),
        };
        if matches!(kind, Kind::Symbol(b')' | b']' | b'}')) {
            self.depth = self.depth.saturating_sub(1);
        }
        let range = self.position..self.position + length;
        self.position = range.end;
        let depth = self.depth;
        if matches!(kind, Kind::Symbol(b'(' | b'[' | b'{')) {
            self.depth += 1;
        }
        Some(Token { kind, range, depth })
    }
}

fn word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Length of a quoted text, its quotes included; a quote within is doubled or has a backslash.
fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut position = 1;
    while let Some(byte) = rest.get(position) {
        position += match *byte {
            b'\\' => 2,
            found if found == quote && rest.get(position + 1) == Some(&quote) => 2,
            found if found == quote => return position + 1,
            _ => 1,
        };
    }
    rest.len()
}

/// Length of `$tag$ … $tag$`, or of the lone dollar sign.
fn heredoc_length(rest: &[u8]) -> usize {
    let tag = rest[1..]
        .iter()
        .take_while(|byte| word_byte(**byte))
        .count();
    if rest.get(1 + tag) != Some(&b'$') {
        return 1;
    }
    let mark = &rest[..tag + 2];
    find(&rest[mark.len()..], mark).map_or(rest.len(), |end| end + 2 * mark.len())
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Statement {
        Statement::parse(text.as_bytes()).expect("it can be read")
    }

    fn insert_parts(text: &str) -> (String, String, String) {
        match parse(text) {
            Statement::Insert { head, format, data } => {
                (text[head].to_owned(), format, text[data].to_owned())
            }
            other => panic!("not an insert with data: {other:?}"),
        }
    }

    #[test]
    fn the_format_is_taken_off_an_insert() {
        let (head, format, data) =
            insert_parts("INSERT INTO t(`format`, b) FORMAT RowBinaryWithNamesAndTypes");
        assert_eq!(head, "INSERT INTO t(`format`, b) ");
        assert_eq!(format, "RowBinaryWithNamesAndTypes");
        assert_eq!(data, "");
    }

    #[test]
    fn inline_data_is_cut_off() {
        let (head, format, data) = insert_parts("insert into db.values format CSV\n1,\"a\n\nb\"\n");
        assert_eq!(head, "insert into db.values ");
        assert_eq!((format.as_str(), data.as_str()), ("CSV", "1,\"a\n\nb\"\n"));

        let (head, format, data) = insert_parts("INSERT INTO t (a) VALUES (1), (';');\n");
        assert_eq!(head, "INSERT INTO t (a) ");
        assert_eq!((format.as_str(), data.as_str()), ("Values", " (1), (';')"));

        let (head, ..) = insert_parts("INSERT INTO `values` SETTINGS x = 'FORMAT' FORMAT TSV");
        assert_eq!(head, "INSERT INTO `values` SETTINGS x = 'FORMAT' ");
    }

    #[test]
    fn an_insert_from_a_select_has_no_data() {
        for text in [
            "INSERT INTO t SELECT 1 AS format",
            "INSERT INTO t (a) WITH x AS (SELECT 1) SELECT * FROM x",
            "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        ] {
            assert_eq!(parse(text), Statement::Other { format: None }, "{text}");
        }
    }

    #[test]
    fn selects_are_known_with_their_format() {
        let select = |format: Option<&str>| Statement::Select {
            format: format.map(str::to_owned),
        };
        assert_eq!(parse("/* a */ -- b\n (SELECT 1)"), select(None));
        assert_eq!(
            parse("with 1 as x select x format JSON"),
            select(Some("JSON"))
        );
        assert_eq!(
            parse("SELECT 1 FORMAT TSV SETTINGS max_threads = 1;"),
            select(Some("TSV"))
        );
        assert_eq!(parse("SELECT format, x FROM t"), select(None));
        assert_eq!(parse("SELECT 'a FORMAT TSV'"), select(None));
        assert_eq!(parse("SELECT (1 FORMAT TSV)"), select(None));
        assert_eq!(parse("SHOW TABLES"), Statement::Other { format: None });
    }

    #[test]
    fn a_second_statement_is_refused() {
        for text in [
            "SELECT 1; DROP TABLE t",
            "SELECT 1;;",
            "SELECT ';' ; SELECT 2",
        ] {
            Statement::parse(text.as_bytes()).expect_err(text);
        }
        for text in [
            "SELECT ';';",
            "SELECT \"a;b\" -- ; c\n;",
            "SELECT $x$ ; ' $x$ ;",
        ] {
            Statement::parse(text.as_bytes()).expect(text);
        }
    }

    #[test]
    fn nothing_is_not_a_statement() {
        for text in [
            "",
            " \n",
            "-- nothing",
            "((",
            "INSERT INTO t",
            "INSERT INTO t FORMAT",
        ] {
            Statement::parse(text.as_bytes()).expect_err(text);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Statement::parse(&text);
        }

        #[test]
        fn any_words_are_read_without_a_panic(text in "(?i)(INSERT|INTO|FORMAT|VALUES|SELECT|[(){};'\"`$ .\n]|a){0,12}") {
            let _ = Statement::parse(text.as_bytes());
        }
    }
}
