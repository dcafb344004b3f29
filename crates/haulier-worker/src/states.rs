//! What handlers share: values kept by their type.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;

/// Shared values, at most one a type.
#[derive(Default, Clone)]
pub struct States(HashMap<TypeId, Value>);

type Value = (std::sync::Arc<dyn Any + Send + Sync>, &'static str);

impl States {
    /// Keeps a value; one of the same type is replaced.
    pub fn insert<S: Clone + Send + Sync + 'static>(&mut self, state: S) {
        self.0.insert(TypeId::of::<S>(), (std::sync::Arc::new(state), type_name::<S>()));
    }

    /// The value of a type.
    pub fn get<S: Clone + Send + Sync + 'static>(&self) -> Option<&S> {
        self.0.get(&TypeId::of::<S>()).and_then(|(state, _)| state.downcast_ref())
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.0.values().map(|(_, name)| *name).collect();
        names.sort_unstable();
        f.debug_set().entries(names).finish()
    }
}
