-- Clips whose caption names none of their subjects: no head noun of a class (see head_noun) is a word of the caption, in lower case,
-- a plural in -s or -es on either side aside. Clips without caption or subject are not asked.
-- Synonyms are not known: "woman" does not name a subject "individual". All captions are read word by word, minutes for
-- 5 M: give it a range of clip_id where one will do.
-- nouns: what was looked for, with its plurals.
CREATE VIEW captions_without_subject AS
SELECT text.clip_id, named.nouns, text.caption
FROM (
    SELECT clip_id, caption, string_split(regexp_replace(lower(caption), '[^\pL\pN]+', ' ', 'g'), ' ') AS words
    FROM captions WHERE caption IS NOT NULL
) AS text
JOIN (
    SELECT clip_id, list(noun) AS nouns
    FROM subjects
    JOIN (
        SELECT class_id, unnest(list_distinct([head, head || 's', head || 'es', regexp_replace(head, 's$', ''), regexp_replace(head, 'es$', '')])) AS noun
        FROM (SELECT class_id, head_noun(name) AS head FROM classes)
        WHERE head IS NOT NULL
    ) USING (class_id)
    GROUP BY clip_id
) AS named USING (clip_id)
WHERE NOT list_has_any(words, nouns);
