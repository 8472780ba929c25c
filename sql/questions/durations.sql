-- How long clips are.
-- Parameters:
--   step DOUBLE 1      width of a bin, seconds, above 0
--   most DOUBLE 30     longer clips count in the bin that begins here or just below
-- Columns:
--   seconds DOUBLE     lower edge of the bin; null: no span or no rate is recorded
--   num_clips BIGINT   clips that long, up to the next edge
SELECT floor(least(duration_seconds(span_start, span_end, fps), $most) / $step) * $step AS seconds, count(*) AS num_clips
FROM clips GROUP BY 1 ORDER BY 1 NULLS LAST
