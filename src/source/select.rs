//! Which of several sources a connection is dialled from (pure).

/// The place of the greatest room; those that are equal take turns.
pub fn most_room(rooms: &[u32], turn: usize) -> Option<usize> {
    let count = rooms.len();
    let in_turn = (0..count).map(|step| (turn % count + step) % count);
    // Of several greatest, `max_by_key` takes the last: the one whose turn it is comes last.
    in_turn.rev().max_by_key(|place| rooms[*place])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_room_wins_whoevers_turn_it_is() {
        for turn in 0..7 {
            assert_eq!(most_room(&[3, 9, 4], turn), Some(1));
        }
        assert_eq!(most_room(&[], 5), None);
        assert_eq!(most_room(&[0], usize::MAX), Some(0));
    }

    #[test]
    fn equals_take_turns() {
        let chosen: Vec<_> = (0..6).map(|turn| most_room(&[5, 5, 5], turn)).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2].map(Some));
        let chosen: Vec<_> = (0..4).filter_map(|turn| most_room(&[5, 1, 5, 1], turn)).collect();
        assert_eq!(chosen, [0, 2, 2, 0]);
    }
}
