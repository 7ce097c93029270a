// Sums of one block of records on a CUDA device.
//
// Integers only, and atomics only on integers: the order in which threads arrive cannot show. No shared memory, no
// barriers, no warp operations: the same text runs on a CPU, one thread after the other, which is how it is tested
// where there is no device.
//
// Rows are sorted by group. A chunk is a run of at most 64 rows of one group, [low, high), so that a group with most
// of the records is spread over many blocks. `product` is float32[n, stride] and holds integers below 2^24:
// scores of the codebook, then turns of the random features, then projected coordinates.
// Sums are int64 in two's complement, held as unsigned because atomicAdd has no signed 64-bit form.

extern "C" __global__ void segment_sum(
    const signed char* q, const int* low, const int* high, const int* segment,
    unsigned long long* out, int chunks, int width)
{
    int chunk = blockIdx.x;
    if (chunk >= chunks) return;
    unsigned long long* target = out + (long long)segment[chunk] * width;
    for (int column = threadIdx.x; column < width; column += blockDim.x) {
        int total = 0;  // 64 rows of at most 128
        for (int row = low[chunk]; row < high[chunk]; ++row) total += q[(long long)row * width + column];
        if (total != 0) atomicAdd(target + column, (unsigned long long)(long long)total);
    }
}

extern "C" __global__ void squared_norms(const signed char* q, int* out, int n, int width)
{
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= n) return;
    int total = 0;  // 4096 coordinates of at most 128^2: below 2^27
    for (int column = 0; column < width; ++column) {
        int value = q[(long long)row * width + column];
        total += value * value;
    }
    out[row] = total;
}

extern "C" __global__ void topics(const float* product, int* out, int n, int stride, int count)
{
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= n) return;
    const float* scores = product + (long long)row * stride;
    int best = 0;
    for (int topic = 1; topic < count; ++topic) {
        if (scores[topic] > scores[best]) best = topic;  // strict: a tie stays with the lower index
    }
    out[row] = best;
}

extern "C" __global__ void kernel_mean(
    const float* product, const int* offset, const short* cosines,
    const int* low, const int* high, const int* segment,
    unsigned long long* out, int chunks, int stride, int first, int features)
{
    int chunk = blockIdx.x;
    if (chunk >= chunks) return;
    unsigned long long* target = out + (long long)segment[chunk] * features;
    for (int feature = threadIdx.x; feature < features; feature += blockDim.x) {
        int total = 0;  // 64 rows of at most 2047
        for (int row = low[chunk]; row < high[chunk]; ++row) {
            int turn = (int)product[(long long)row * stride + first + feature] + offset[feature];
            total += cosines[(turn >> 6) & 4095];  // an arithmetic shift: floor, also below zero
        }
        if (total != 0) atomicAdd(target + feature, (unsigned long long)(long long)total);
    }
}

extern "C" __global__ void packed_moment(
    const float* product, const int* low, const int* high, const int* segment,
    unsigned long long* out, int chunks, int stride, int first, int k, int shift)
{
    int chunk = blockIdx.x;
    if (chunk >= chunks) return;
    int cells = k * (k + 1) / 2;
    unsigned long long* target = out + (long long)segment[chunk] * cells;
    for (int cell = threadIdx.x; cell < cells; cell += blockDim.x) {
        int row_of_cell = 0;
        int column_of_cell = cell;
        while (column_of_cell > row_of_cell) {
            ++row_of_cell;
            column_of_cell -= row_of_cell;
        }
        long long total = 0;
        for (int row = low[chunk]; row < high[chunk]; ++row) {
            const float* y = product + (long long)row * stride + first;
            long long one = (int)y[row_of_cell] >> shift;
            long long two = (int)y[column_of_cell] >> shift;
            total += one * two;
        }
        if (total != 0) atomicAdd(target + cell, (unsigned long long)total);
    }
}
