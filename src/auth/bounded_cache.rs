//! A map of bounded size that forgets what has not been asked for lately.
//!
//! Two generations: what is new or asked for stands in the young one; when that
//! is full it becomes the old one, and the old one is dropped. So nothing is
//! sorted, and a flood of new keys costs the old entries, never memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

/// A map that holds at most `entries` entries and `bytes` bytes, as its users count them.
pub struct BoundedCache<K, V, S = RandomState> {
    generations: Mutex<Generations<K, V, S>>,
    entries: usize,
    bytes: usize,
}

type Entries<K, V, S> = HashMap<K, (V, usize), S>;

struct Generations<K, V, S> {
    young: Entries<K, V, S>,
    young_bytes: usize,
    old: Entries<K, V, S>,
}

impl<K: Eq + Hash, V: Clone> BoundedCache<K, V> {
    /// An empty cache.
    pub fn new(entries: usize, bytes: usize) -> Self {
        Self::with_hasher(entries, bytes)
    }
}

impl<K: Eq + Hash, V: Clone, S: BuildHasher + Default> BoundedCache<K, V, S> {
    /// An empty cache that finds its keys by hashes of its own.
    pub fn with_hasher(entries: usize, bytes: usize) -> Self {
        Self {
            generations: Mutex::new(Generations {
                young: HashMap::default(),
                young_bytes: 0,
                old: HashMap::default(),
            }),
            entries,
            bytes,
        }
    }

    /// What is kept for `key`.
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut generations = self.lock();
        if let Some((value, _)) = generations.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, size)) = generations.old.remove_entry(key)?;
        let forgotten = self.put(&mut generations, key, value.clone(), size);
        drop(generations);
        drop(forgotten);
        Some(value)
    }

    /// Keeps a value of `size` bytes; one that is larger than half of the whole
    /// cache is not kept.
    pub fn insert(&self, key: K, value: V, size: usize) {
        if size > self.bytes / 2 {
            return;
        }
        let mut generations = self.lock();
        let before = generations.old.remove(&key);
        let forgotten = self.put(&mut generations, key, value, size);
        // Thousands of entries may go: nobody waits for that.
        drop(generations);
        drop((before, forgotten));
    }

    /// Forgets what is kept for `key`.
    pub fn remove<Q>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut generations = self.lock();
        if let Some((_, size)) = generations.young.remove(key) {
            generations.young_bytes -= size;
        }
        generations.old.remove(key);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        let generations = self.lock();
        generations.young.len() + generations.old.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives back the generation that is forgotten for it, if one is.
    fn put(
        &self,
        generations: &mut Generations<K, V, S>,
        key: K,
        value: V,
        size: usize,
    ) -> Option<Entries<K, V, S>> {
        let full = generations.young.len() >= self.entries / 2
            || generations.young_bytes + size > self.bytes / 2;
        let forgotten = full.then(|| {
            generations.young_bytes = 0;
            let young = std::mem::take(&mut generations.young);
            std::mem::replace(&mut generations.old, young)
        });
        generations.young_bytes += size;
        if let Some((_, before)) = generations.young.insert(key, (value, size)) {
            generations.young_bytes -= before;
        }
        forgotten
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations<K, V, S>> {
        // A panic between two map operations leaves the maps usable.
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V, S> std::fmt::Debug for BoundedCache<K, V, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BoundedCache")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_keys_stays_within_the_bounds() {
        let cache = BoundedCache::new(100, 1000);

        for key in 0..10_000 {
            cache.insert(key, key, 10);
            assert!(cache.len() <= 100);
        }

        assert_eq!(cache.get(&9_999), Some(9_999));
        assert_eq!(cache.get(&0), None);
    }

    #[test]
    fn what_is_asked_for_outlives_a_flood() {
        let cache = BoundedCache::new(10, 1000);
        cache.insert(0, "kept", 1);

        for key in 1..1000 {
            cache.insert(key, "flood", 1);
            assert_eq!(cache.get(&0), Some("kept"), "after {key}");
        }
    }

    #[test]
    fn bytes_are_bounded_too() {
        let cache = BoundedCache::new(1000, 100);
        cache.insert(1, "too large", 51);
        for key in 2..50 {
            cache.insert(key, "x", 20);
        }

        assert_eq!(cache.get(&1), None);
        assert!(cache.len() <= 5);
    }
}
