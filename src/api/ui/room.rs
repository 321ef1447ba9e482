//! Room on a page: what others have written may be as long as they like, a page may not.

/// So many bytes, as they are sent: what stands for others in HTML counts as what it is written as.
pub(in crate::api::ui) struct Room(usize);

impl Room {
    pub(in crate::api::ui) fn of(bytes: usize) -> Self {
        Self(bytes)
    }

    /// As much of a text as there is room for, which is taken.
    pub(in crate::api::ui) fn take<'t>(&mut self, text: &'t str) -> &'t str {
        let mut end = 0;
        for char in text.chars() {
            let size = escaped(char);
            if size > self.0 {
                // Nothing stands behind what was cut.
                self.0 = 0;
                break;
            }
            self.0 -= size;
            end += char.len_utf8();
        }
        &text[..end]
    }

    /// The same of a line, with its end; `None` where no room is left.
    pub(in crate::api::ui) fn line<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        self.0 = self.0.checked_sub(1)?;
        Some(self.take(text))
    }

    /// What a text takes.
    pub(in crate::api::ui) fn size(text: &str) -> usize {
        text.chars().map(escaped).sum()
    }
}

/// Bytes of a character in HTML.
fn escaped(char: char) -> usize {
    match char {
        '"' => 6,
        '&' => 5,
        '<' | '>' => 4,
        char => char.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_taken_as_there_is_room_for_as_it_is_sent() {
        let text = "a<é>\"&";
        for bytes in 0..=30 {
            let taken = Room::of(bytes).take(text).to_owned();
            assert!(text.starts_with(&taken) && maud::html! { (taken) }.0.len() <= bytes, "{bytes}: {taken}");
        }
        let size = Room::size(text);
        assert_eq!(size, maud::html! { (text) }.0.len());
        let mut room = Room::of(size + 1);
        assert_eq!((room.line(text), room.line("b")), (Some(text), None));
        let mut room = Room::of(size);
        assert_eq!((room.line(text), room.line("b")), (Some("a<é>\""), None), "nothing stands behind what was cut");
    }
}
