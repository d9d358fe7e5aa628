//! Exchanges that last over reloads.

use super::*;
use crate::observe::fixture;

/// One worker, and the upstream with two endpoints that it begins with.
struct Scene {
    upstream: Arc<UpstreamState>,
    known: Belongings,
    timers: Rc<Timers>,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let upstream = Arc::clone(&fixture::registry().running().upstreams[0]);
        let now = Instant::now();
        Self { upstream, known: Belongings::default(), timers: Timers::new(now), now }
    }

    /// What a reload makes of the group that there is: one with these endpoints. Each begins with a pool.
    fn reload(&mut self, before: Option<&Rc<Group>>, endpoints: &[usize]) -> Rc<Group> {
        self.known.add(before);
        let mut config = (*self.upstream.config).clone();
        config.endpoints = endpoints.iter().map(|place| config.endpoints[*place]).collect();
        let state = UpstreamState {
            config: Arc::new(config),
            endpoints: endpoints.iter().map(|place| Arc::clone(&self.upstream.endpoints[*place])).collect(),
            health: Arc::clone(&self.upstream.health),
        };
        let (budget, timers) = (Arc::new(Budget::new(1000, 0)), Rc::clone(&self.timers));
        let group = Group::new(Arc::new(state), budget, 0, timers, 7, &mut self.known);
        (0..endpoints.len()).for_each(|endpoint| _ = group.pool(endpoint));
        self.known.leave(self.now);
        group
    }
}

fn loads(group: &Group) -> Vec<u32> {
    (0..group.members.len()).map(|endpoint| group.balancer.borrow().load(endpoint)).collect()
}

#[test]
fn an_exchange_counts_in_the_group_that_a_reload_puts_in_the_place_of_its_own() {
    let mut scene = Scene::new();
    let first = scene.reload(None, &[0, 1]);
    let choice = first.choose(0, Some(1), scene.now).unwrap();
    assert_eq!((choice.endpoint(), loads(&first)), (0, vec![1, 0]));
    let second = scene.reload(Some(&first), &[1, 0]);
    assert_eq!(loads(&second), [0, 1]);
    drop(choice);
    assert_eq!(loads(&second), [0, 0]);
}

#[test]
fn an_exchange_counts_on_an_endpoint_that_was_removed_and_comes_back() {
    let mut scene = Scene::new();
    let first = scene.reload(None, &[0, 1]);
    let choice = first.choose(0, Some(1), scene.now).unwrap();
    let second = scene.reload(Some(&first), &[1]);
    drop(first);
    let third = scene.reload(Some(&second), &[0, 1]);
    assert_eq!(loads(&third), [1, 0], "it lasts still");
    drop(choice);
    assert_eq!(loads(&third), [0, 0], "and is taken off where it was counted");
}

#[test]
fn what_a_view_of_an_old_configuration_chooses_counts_in_the_present_one() {
    let mut scene = Scene::new();
    let first = scene.reload(None, &[0, 1]);
    let second = scene.reload(Some(&first), &[0, 1]);
    let choice = first.choose(0, Some(1), scene.now).unwrap();
    assert_eq!((loads(&first), loads(&second)), (vec![0, 0], vec![1, 0]));
    drop(choice);
    assert_eq!(loads(&second), [0, 0]);
}
