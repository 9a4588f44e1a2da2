//! The groups of [`Search`](crate::Search).

/// Search.
#[macro_export]
macro_rules! search_tests {
    ($harness:expr) => {
        $crate::__cases!(
            search,
            $harness,
            $crate::testkit::search,
            [
                a_message_is_found_as_it_is_now,
                only_the_rooms_of_the_reader_are_searched,
                naming_a_room_searches_it_alone,
                naming_a_foreign_room_is_refused,
                somebody_who_left_finds_nothing,
                pages_come_newest_first_without_repeat_or_gap,
                every_word_must_occur,
                upper_and_lower_case_are_the_same,
                words_are_found_beside_punctuation,
                an_edited_message_is_found_by_its_new_text_alone,
                a_deleted_message_is_never_found,
                a_trimmed_message_is_not_found,
                what_is_no_message_is_not_found,
                an_applications_own_entries_are_found,
                a_word_inside_a_korean_sentence_is_found,
                a_word_inside_a_japanese_sentence_is_found,
                a_word_inside_a_chinese_sentence_is_found,
                a_word_of_one_character_is_found,
                a_text_that_looks_like_a_query_language_is_only_a_text,
                the_limit_is_held_between_one_and_a_hundred,
                a_blank_or_overlong_text_is_refused,
            ]
        );
    };
}
