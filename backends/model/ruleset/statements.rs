//! The statements of a rule, shared between rules.

use std::iter::Map;
use std::slice::Iter;
use std::sync::Arc;

use super::Statement;

/// Goes through statements.
type Each<'a> = Map<Iter<'a, Arc<Statement>>, fn(&Arc<Statement>) -> &Statement>;

/// The statements of a rule, in order. A long chain says nearly the same in every rule: what two rules say alike is kept
/// once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements(Box<[Arc<Statement>]>);

impl Statements {
    /// The statements, of which those that `other` has in the same places are shared with it.
    pub fn shared_with(statements: Vec<Statement>, other: &Self) -> Self {
        let mut others = other.0.iter();
        let share = |mut statement| match others.next() {
            Some(there) if **there == statement => Arc::clone(there),
            Some(there) => {
                share_value(&mut statement, there);
                Arc::new(statement)
            }
            None => Arc::new(statement),
        };
        Self(statements.into_iter().map(share).collect())
    }

    /// The statements in order.
    pub fn iter(&self) -> Each<'_> {
        self.0.iter().map(Arc::as_ref)
    }

    /// The statements in order, to be changed; what is shared is not any more then.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Statement> {
        self.0.iter_mut().map(Arc::make_mut)
    }

    /// The statements as a slice.
    pub fn as_slice(&self) -> &[Arc<Statement>] {
        &self.0
    }

    /// The first one.
    pub fn first(&self) -> Option<&Statement> {
        self.iter().next()
    }

    /// The last one.
    pub fn last(&self) -> Option<&Statement> {
        self.iter().next_back()
    }
}

/// Rules that compare with different data still look at the same fields.
fn share_value(statement: &mut Statement, there: &Statement) {
    if let (Statement::Match { value, .. }, Statement::Match { value: other, .. }) =
        (statement, there)
        && value == other
    {
        value.parts = Arc::clone(&other.parts);
    }
}

impl<'a> IntoIterator for &'a Statements {
    type Item = &'a Statement;
    type IntoIter = Each<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Vec<Statement>> for Statements {
    fn from(statements: Vec<Statement>) -> Self {
        statements.into_iter().collect()
    }
}

impl FromIterator<Statement> for Statements {
    fn from_iter<I: IntoIterator<Item = Statement>>(statements: I) -> Self {
        Self(statements.into_iter().map(Arc::new).collect())
    }
}
