-- Pairs in $ids (pair_id), by id.
-- Parameters: ids, lo, hi over pair_id. Columns: those of view pairs.
SELECT * FROM pairs
WHERE pair_id >= $lo AND pair_id < $hi AND pair_id IN (SELECT unnest($ids))
ORDER BY pair_id
