"""How RocksDB is set up: small values, bounded memory, nothing trusted unchecked."""

from __future__ import annotations

from functools import cache

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    WriteBufferManager,
)

BLOCK_CACHE_BYTES = 64 << 20
MEMTABLE_BYTES = 48 << 20
_MEMTABLE_BYTES_EACH = 16 << 20
_MEMTABLE_FILTER_BYTES = 40 << 10
"""Nine bits a row of a full memtable of devices. Each memtable has it from its beginning, idle ones too, and it counts
as unflushed writes: of many stores, larger ones would fill up those alone."""
_WAL_BYTES = 64 << 20
_OPEN_FILES = 128


@cache
def _shared_block_cache() -> Cache:
    """Blocks, indexes and filters of every store of this process."""
    return Cache(BLOCK_CACHE_BYTES)


@cache
def _shared_memtables() -> WriteBufferManager:
    """Unflushed writes of every store of this process.

    It flushes at its limit and does not stall: rocksdict writes under the GIL, so that a stalled write would stop the
    whole process, heartbeats and all.
    """
    return WriteBufferManager(MEMTABLE_BYTES, False)


def store_options(*, create: bool) -> Options:
    """Options of a store and of each of its column families."""
    blocks = BlockBasedOptions()
    blocks.set_block_cache(_shared_block_cache())
    blocks.set_cache_index_and_filter_blocks(True)  # else they live outside the bound, a part for each open file
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
    # In parts of a block each. Whole, those of a file of a million rows are larger than what one shard of the cache
    # takes, and every look-up would read megabytes to find one row.
    blocks.set_index_type(BlockBasedIndexType.two_level_index_search())
    blocks.set_partition_filters(True)
    blocks.set_pin_top_level_index_and_filter(True)
    blocks.set_bloom_filter(10, False)  # 1 % false positives: a key that is not there costs no disk read
    blocks.set_format_version(5)

    options = Options(raw_mode=True)  # without it rocksdict pickles
    options.create_if_missing(create)
    options.create_missing_column_families(create)
    options.set_block_based_table_factory(blocks)
    options.set_compression_type(DBCompressionType.lz4())

    options.set_paranoid_checks(True)
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    # Column families are flushed together, so that the SST files alone are a prefix too: a WAL that a power cut took
    # costs an older position, never tables that disagree.
    options.set_atomic_flush(True)

    options.set_write_buffer_manager(_shared_memtables())
    options.set_write_buffer_size(_MEMTABLE_BYTES_EACH)
    # Bloom filters for what is not flushed yet, too: most look-ups among many keys are for one that is not there.
    options.set_memtable_prefix_bloom_ratio(_MEMTABLE_FILTER_BYTES / _MEMTABLE_BYTES_EACH)
    options.set_memtable_whole_key_filtering(True)
    options.set_arena_block_size(64 << 10)  # the default, 1 MB a memtable, is what idle tables of many stores hold
    options.set_max_total_wal_size(_WAL_BYTES)
    options.set_max_open_files(_OPEN_FILES)
    options.set_max_background_jobs(2)
    options.set_bytes_per_sync(1 << 20)
    # A restore brings a file a chunk: better to read more files for a while than to stop a writer that holds the GIL.
    options.set_level_zero_slowdown_writes_trigger(64)
    options.set_level_zero_stop_writes_trigger(128)

    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(1 << 20)
    return options
