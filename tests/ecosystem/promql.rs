//! What a PromQL expression asks for: its metrics with their matchers, and the labels it groups by. It
//! is read only as far as that takes; promtool and Prometheus say whether it is right.

use std::iter::Peekable;
use std::vec::IntoIter;

/// What is of interest in an expression.
#[derive(Debug, Default)]
pub(crate) struct Expression {
    /// Every mention of a metric of millpond, or of something recorded from one.
    pub(crate) selectors: Vec<Selector>,
    /// Every `by (...)`, `without (...)`, `on (...)`, `ignoring (...)` and `group_...(...)`.
    pub(crate) groupings: Vec<Grouping>,
}

/// A metric by its name, with what is asked of its labels.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    pub(crate) matchers: Vec<Matcher>,
    /// Whether it stands before a range such as `[5m]`.
    pub(crate) has_range: bool,
}

/// What is asked of one label.
#[derive(Debug)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub(crate) operator: String,
    pub(crate) value: String,
}

impl Matcher {
    /// The values that it names, as a text or as the alternatives of a regular expression; none where
    /// the user of a dashboard chooses.
    pub(crate) fn values(&self) -> Vec<&str> {
        if self.value.contains('$') { Vec::new() } else { self.value.split('|').collect() }
    }
}

/// A word that takes labels, and those.
#[derive(Debug)]
pub(crate) struct Grouping {
    pub(crate) word: String,
    pub(crate) labels: Vec<String>,
}

const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

impl Expression {
    pub(crate) fn read(text: &str) -> Self {
        let mut tokens = tokens(text).into_iter().peekable();
        let mut expression = Self::default();
        while let Some(token) = tokens.next() {
            match token {
                Token::Name(word) if GROUPINGS.contains(&word.as_str()) => {
                    let labels = if skip(&mut tokens, '(') { names(&mut tokens, ')') } else { Vec::new() };
                    expression.groupings.push(Grouping { word, labels });
                }
                Token::Name(metric) if metric.contains("millpond_") => {
                    let matchers = if skip(&mut tokens, '{') { matchers(&mut tokens) } else { Vec::new() };
                    let has_range = tokens.peek() == Some(&Token::Symbol('['));
                    expression.selectors.push(Selector { metric, matchers, has_range });
                }
                _ => {}
            }
        }
        expression
    }

    /// The labels that every `word (...)` of the expression names.
    pub(crate) fn labels_after(&self, word: &str) -> impl Iterator<Item = &str> {
        let groupings = self.groupings.iter().filter(move |grouping| grouping.word == word);
        groupings.flat_map(|grouping| grouping.labels.iter().map(String::as_str))
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Symbol(char),
}

type Tokens = Peekable<IntoIter<Token>>;

/// Numbers, durations and the variables of a dashboard are left out, as nothing follows from them.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let word = |from: &str| from.find(|c| !is_word(c)).unwrap_or(from.len());
        rest = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let (name, rest) = rest.split_at(word(rest));
                found.push(Token::Name(name.to_owned()));
                rest
            }
            '0'..='9' | '$' => &rest[1 + word(&rest[1..])..],
            '"' => {
                let (inside, rest) = rest[1..].split_once('"').expect("a text ends");
                assert!(!inside.contains('\\'), "escapes are not read here: {text}");
                found.push(Token::Text(inside.to_owned()));
                rest
            }
            symbol => {
                if !symbol.is_whitespace() {
                    found.push(Token::Symbol(symbol));
                }
                &rest[symbol.len_utf8()..]
            }
        };
    }
    found
}

fn skip(tokens: &mut Tokens, symbol: char) -> bool {
    tokens.next_if_eq(&Token::Symbol(symbol)).is_some()
}

/// Names up to the closing symbol.
fn names(tokens: &mut Tokens, end: char) -> Vec<String> {
    let inside = tokens.by_ref().take_while(|token| *token != Token::Symbol(end));
    inside.filter_map(|token| if let Token::Name(name) = token { Some(name) } else { None }).collect()
}

/// Matchers up to the closing brace.
fn matchers(tokens: &mut Tokens) -> Vec<Matcher> {
    let mut found = Vec::new();
    let (mut label, mut operator) = (String::new(), String::new());
    for token in tokens.take_while(|token| *token != Token::Symbol('}')) {
        match token {
            Token::Name(name) => label = name,
            Token::Symbol(',') => {}
            Token::Symbol(symbol) => operator.push(symbol),
            Token::Text(value) => found.push(Matcher {
                label: std::mem::take(&mut label),
                operator: std::mem::take(&mut operator),
                value,
            }),
        }
    }
    found
}

#[test]
fn an_expression_is_read() {
    let text = "sum without (reason) (rate(millpond_x_total{a=\"1\", b=~\"c|$d\"}[5m])) > 0.5\n \
                / on (a) group_left listener:millpond_y:rate5m and up{job=\"z\"}";
    let Expression { selectors, groupings } = Expression::read(text);
    let metrics: Vec<_> = selectors.iter().map(|s| (s.metric.as_str(), s.has_range)).collect();
    assert_eq!(metrics, [("millpond_x_total", true), ("listener:millpond_y:rate5m", false)]);
    let matchers: Vec<_> = selectors[0].matchers.iter().map(|m| (&*m.label, &*m.operator)).collect();
    assert_eq!(matchers, [("a", "="), ("b", "=~")]);
    assert_eq!(selectors[0].matchers[0].values(), ["1"]);
    assert!(selectors[0].matchers[1].values().is_empty());
    let groupings: Vec<_> = groupings.iter().map(|g| (&*g.word, g.labels.join(","))).collect();
    let expected = [("without", "reason"), ("on", "a"), ("group_left", "")];
    assert_eq!(groupings, expected.map(|(word, labels)| (word, labels.to_owned())));
}
