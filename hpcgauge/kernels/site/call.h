// What a compiled kernel is handed: where its sites, fields, numbers and sums lie. Plain C++, for the CPU only.
#pragma once

struct Part {
    const int* blocks;
    long n_blocks, n_threads;
};

struct Call {
    void (*function)(const Call* call, long part);
    const int* const* tables;  // the four of struct Lattice
    Part parts[2];             // the blocks that read no ghosts, then those that do
    void* const* fields;
    const double* numbers;
    long long* bins;  // 16 for each sum
    double* sums;     // the same, rounded
    long n_sums;
    long is_large;  // of struct Lattice; 2: is_huge too
};
