// The engine's inner loops, written once. A unit of isa/ defines `vector_bytes`, `block_rows`, `panel_vectors` and
// includes this inside its namespace.



template <class T>
struct Source {
    const T* data;
    int32_t stride;  // from row to row
    bool splat;      // one number for all columns
};

template <class T>
class Runner {
  public:
    Runner(const Stage& stage, const Work<T>& work, const Block& block) : stage_(stage), work_(work), block_(block) {}

    void run() {
        for (const Instruction& instruction : stage_.instructions) {
            switch (instruction.code) {
#define X(name)                                    \
    case Code::k_##name:                           \
        apply_unary<Code::k_##name>(instruction);  \
        break;
                LATCHWORK_UNARY(X)
#undef X
#define X(name)                                     \
    case Code::k_##name:                            \
        apply_binary<Code::k_##name>(instruction);  \
        break;
                LATCHWORK_BINARY(X)
#undef X
                case Code::k_where: where(instruction); break;
                case Code::k_sum: reduce<false>(instruction); break;
                case Code::k_amax: reduce<true>(instruction); break;
                case Code::k_load: read(instruction); break;
                case Code::k_store: write(instruction); break;
                case Code::k_put: put(instruction); break;
                case Code::k_product: product(instruction); break;
                case Code::k_accumulate: accumulate(instruction); break;
            }
        }
    }

  private:
    static constexpr int L = lanes<T>;

    T* place(const Arg& arg, int32_t& stride) const {
        if (arg.space == Space::temp) {
            stride = block_.temp_stride;
            return work_.temps + int64_t{arg.index} * temp_size;
        }
        stride = work_.strides[arg.index];
        return work_.buffers[arg.index] + int64_t{block_.row} * stride + arg.offset + block_.column;
    }

    Source<T> source(const Arg& arg) const {
        switch (arg.space) {
            case Space::row_scalar:
                return {work_.buffers[arg.index] + int64_t{block_.row} * work_.strides[arg.index],
                        work_.strides[arg.index], true};
            case Space::vector: return {work_.vectors[arg.index] + arg.offset + block_.column, 0, false};
            case Space::scalar: return {work_.vectors[arg.index] + arg.offset, 0, true};
            case Space::number: return {work_.numbers + arg.index, 0, true};
            default: {
                int32_t stride = 0;
                const T* data = place(arg, stride);
                return {data, stride, false};
            }
        }
    }

    template <Code code>
    void apply_unary(const Instruction& instruction) {
        int32_t stride = 0;
        T* to = place(instruction.dst, stride);
        const Source<T> a = source(instruction.a);
        for (int r = 0; r < block_.rows; ++r) {
            T* y = to + int64_t{r} * stride;
            const T* x = a.data + int64_t{r} * a.stride;
            if (a.splat) {
                const Vec<T> once = unary<T, code>(all<T>(*x));
                for (int j = 0; j < block_.columns; j += L) store<T>(y + j, once);
            } else {
                for (int j = 0; j < block_.columns; j += L) store<T>(y + j, unary<T, code>(load<T>(x + j)));
            }
        }
    }

    template <Code code>
    void apply_binary(const Instruction& instruction) {
        int32_t stride = 0;
        T* to = place(instruction.dst, stride);
        const Source<T> a = source(instruction.a), b = source(instruction.b);
        for (int r = 0; r < block_.rows; ++r) {
            T* y = to + int64_t{r} * stride;
            const T* p = a.data + int64_t{r} * a.stride;
            const T* q = b.data + int64_t{r} * b.stride;
            if (!a.splat && !b.splat) {
                for (int j = 0; j < block_.columns; j += L) store<T>(y + j, binary<T, code>(load<T>(p + j), load<T>(q + j)));
            } else if (!a.splat) {
                const Vec<T> once = all<T>(*q);
                for (int j = 0; j < block_.columns; j += L) store<T>(y + j, binary<T, code>(load<T>(p + j), once));
            } else if (!b.splat) {
                const Vec<T> once = all<T>(*p);
                for (int j = 0; j < block_.columns; j += L) store<T>(y + j, binary<T, code>(once, load<T>(q + j)));
            } else {
                const Vec<T> once = binary<T, code>(all<T>(*p), all<T>(*q));
                for (int j = 0; j < block_.columns; j += L) store<T>(y + j, once);
            }
        }
    }

    void where(const Instruction& instruction) {
        int32_t stride = 0;
        T* to = place(instruction.dst, stride);
        const Source<T> s[3] = {source(instruction.a), source(instruction.b), source(instruction.c)};
        for (int r = 0; r < block_.rows; ++r) {
            for (int j = 0; j < block_.columns; j += L) {
                Vec<T> v[3];
                for (int i = 0; i < 3; ++i) {
                    const T* p = s[i].data + int64_t{r} * s[i].stride;
                    v[i] = s[i].splat ? all<T>(*p) : load<T>(p + j);
                }
                store<T>(to + int64_t{r} * stride + j, v[0] != T(0) ? v[1] : v[2]);
            }
        }
    }

    // In a fixed order, piece by piece of `chunk` columns, whatever the number of columns at a time.
    template <bool largest>
    void reduce(const Instruction& instruction) {
        const int32_t stride = work_.strides[instruction.dst.index];
        T* to = work_.buffers[instruction.dst.index] + int64_t{block_.row} * stride;
        const Source<T> a = source(instruction.a);
        for (int r = 0; r < block_.rows; ++r) {
            const T* x = a.data + int64_t{r} * a.stride;
            for (int first = 0; first < block_.columns; first += chunk) {
                const int last = std::min(first + chunk, block_.columns);
                const T piece = largest ? highest(x, a.splat, first, last) : total(x, a.splat, first, last);
                T& slot = to[int64_t{r} * stride];
                if (block_.column + first == 0) {
                    slot = piece;
                } else if constexpr (largest) {
                    slot = slot != slot || slot > piece ? slot : piece;
                } else {
                    slot += piece;
                }
            }
        }
    }

    static T total(const T* x, bool splat, int first, int last) {
        Vec<T> lanes_total{};
        int j = first;
        if (!splat)
            for (; j + L <= last; j += L) lanes_total += load<T>(x + j);
        T sum = across<T>(lanes_total);
        for (; j < last; ++j) sum += x[splat ? 0 : j];
        return sum;
    }

    static T highest(const T* x, bool splat, int first, int last) {
        T top = -std::numeric_limits<T>::infinity();
        for (int j = first; j < last && top == top; ++j) {
            const T value = x[splat ? 0 : j];
            if (value > top || value != value) top = value;
        }
        return top;
    }

    void read(const Instruction& instruction) {
        int32_t stride = 0;
        T* to = place(instruction.dst, stride);
        const External& from = work_.externals[instruction.a.index];
        const int64_t start = instruction.a.offset + block_.column;
        const int64_t size = from.bfloat16 ? 2 : sizeof(T);
        for (int r = 0; r < block_.next_rows; ++r) {
            const char* x = static_cast<const char*>(from.data) +
                            (block_.next_token[r] * from.width + instruction.a.offset + block_.next_column) * size;
            for (int64_t i = 0; i < block_.columns * size; i += 64) __builtin_prefetch(x + i);
        }
        for (int r = 0; r < block_.rows; ++r) {
            T* y = to + int64_t{r} * stride;
            const int64_t at = block_.token[r] * from.width + start;
            if constexpr (sizeof(T) == 4) {
                if (from.bfloat16) {
                    const uint16_t* x = static_cast<const uint16_t*>(from.data) + at;
                    int j = 0;
                    for (; j + L <= block_.columns; j += L) store<T>(y + j, load_bfloat16(x + j));
                    for (; j < block_.columns; ++j) y[j] = std::bit_cast<float>(static_cast<uint32_t>(x[j]) << 16);
                    continue;
                }
            }
            const T* x = static_cast<const T*>(from.data) + at;
            int j = 0;
            for (; j + L <= block_.columns; j += L) store<T>(y + j, load<T>(x + j));
            for (; j < block_.columns; ++j) y[j] = x[j];
        }
    }

    void write(const Instruction& instruction) {
        const External& to = work_.externals[instruction.dst.index];
        const Source<T> a = source(instruction.a);
        const int64_t start = instruction.dst.offset + block_.column;
        for (int r = 0; r < block_.rows; ++r) {
            const T* x = a.data + int64_t{r} * a.stride;
            const int64_t at = block_.token[r] * to.width + start;
            if constexpr (sizeof(T) == 4) {
                if (to.bfloat16) {
                    uint16_t* y = static_cast<uint16_t*>(to.data) + at;
                    int j = 0;
                    if (!a.splat)
                        for (; j + L <= block_.columns; j += L) store_bfloat16(y + j, load<T>(x + j));
                    for (; j < block_.columns; ++j) y[j] = rounded(x[a.splat ? 0 : j]);
                    continue;
                }
            }
            T* y = static_cast<T*>(to.data) + at;
            int j = 0;
#ifdef LATCHWORK_WIDE512
            // Past the cache: what is stored here is read again when the batch is over, and not fetched to be overwritten.
            if constexpr (sizeof(T) == 4) {
                if (!a.splat && (reinterpret_cast<uintptr_t>(y) & 63) == 0)
                    for (; j + L <= block_.columns; j += L) _mm512_stream_ps(y + j, cast<__m512>(load<T>(x + j)));
            }
#endif
            if (!a.splat)
                for (; j + L <= block_.columns; j += L) store<T>(y + j, load<T>(x + j));
            for (; j < block_.columns; ++j) y[j] = x[a.splat ? 0 : j];
        }
    }

    void put(const Instruction& instruction) {
        int32_t stride = 0;
        T* to = place(instruction.dst, stride);
        const Source<T> a = source(instruction.a);
        for (int r = 0; r < block_.rows; ++r)
            for (int j = 0; j < block_.columns; ++j)
                to[int64_t{r} * stride + j] = a.data[int64_t{r} * a.stride + (a.splat ? 0 : j)];
    }

    void accumulate(const Instruction& instruction) {
        T* to = work_.accumulators[instruction.dst.index] + instruction.dst.offset + block_.column;
        const Source<T> a = source(instruction.a);
        for (int r = 0; r < block_.rows; ++r) {
            const T* x = a.data + int64_t{r} * a.stride;
            int j = 0;
            if (!a.splat)
                for (; j + L <= block_.columns; j += L) store<T>(to + j, load<T>(to + j) + load<T>(x + j));
            for (; j < block_.columns; ++j) to[j] += x[a.splat ? 0 : j];
        }
    }

    // What a product begins with: up to two values, so that a bias and the input's part cost no pass of their own.
    struct Start {
        Source<T> values[2];
        int count;
        int column;

        // Columns j … j + L - 1 of the panel in row r.
        Vec<T> at(int r, int j) const {
            Vec<T> sum{};
            for (int i = 0; i < count; ++i) {
                const T* p = values[i].data + int64_t{r} * values[i].stride;
                sum += values[i].splat ? all<T>(*p) : load<T>(p + column + j);
            }
            return sum;
        }
        template <int R, int N>
        void fill(Vec<T> (&sum)[R][N]) const {
            for (int r = 0; r < R; ++r)
                for (int n = 0; n < N; ++n) sum[r][n] = at(r, n * L);
        }
    };

    // y[r][j] = the start, and the sum over the runs and their rows, in order: the same order for any number of rows, so that a row gives
    // the same bits alone and in any batch.
    template <int R, int N>
    void tile(const Packed& packed, const Panel& panel, const Start& start, T* y, int32_t stride) const {
        Vec<T> sum[R][N];
        start.template fill<R, N>(sum);
        for (int i = 0; i < panel.runs; ++i) {
            const Run& run = packed.runs[panel.first_run + i];
            const int64_t step = work_.strides[run.buffer];
            const T* x = work_.buffers[run.buffer] + block_.row * step + run.begin;
            const T* w = static_cast<const T*>(packed.store) + run.packed;
            for (int k = 0; k < run.count; ++k, w += N * L) {
                Vec<T> column[N];
                for (int n = 0; n < N; ++n) column[n] = load<T>(w + n * L);
                for (int r = 0; r < R; ++r) {
                    const Vec<T> once = all<T>(x[r * step + k]);
                    for (int n = 0; n < N; ++n) sum[r][n] += once * column[n];
                }
            }
        }
        for (int r = 0; r < R; ++r)
            for (int n = 0; n < N; ++n) store<T>(y + int64_t{r} * stride + n * L, sum[r][n]);
    }

    // The same with weights and operand in bfloat16, two of the sum at a time, summed in float32.
    template <int R, int N>
    void tile_bfloat16(const Packed& packed, const Panel& panel, const Start& start, float* y, int32_t stride) const {
        Vec<float> sum[R][N];
        start.template fill<R, N>(sum);
        for (int i = 0; i < panel.runs; ++i) {
            const Run& run = packed.runs[panel.first_run + i];
            const int64_t step = work_.strides[run.buffer];
            const uint16_t* x = work_.mirrors[run.buffer] + block_.row * step + run.begin;
            const uint32_t* w = static_cast<const uint32_t*>(packed.store) + run.packed;
            for (int k = 0; k < run.count; k += 2, w += N * L) {
                Int<float> column[N];
                for (int n = 0; n < N; ++n)
                    column[n] = cast<Int<float>>(load<float>(reinterpret_cast<const float*>(w) + n * L));
                for (int r = 0; r < R; ++r) {
                    int32_t pair;
                    std::memcpy(&pair, x + r * step + k, 4);
                    for (int n = 0; n < N; ++n) sum[r][n] = dot_pairs(sum[r][n], pair, column[n]);
                }
            }
        }
        for (int r = 0; r < R; ++r)
            for (int n = 0; n < N; ++n) store<float>(y + int64_t{r} * stride + n * L, sum[r][n]);
    }

    template <int R>
    void panel_of(const Packed& packed, const Panel& panel, const Start& start, T* y, int32_t stride) const {
        if constexpr (sizeof(T) == 4) {
            if (work_.bfloat16) {
                switch (panel.lanes / L) {
                    case 1: tile_bfloat16<R, 1>(packed, panel, start, y, stride); return;
                    case 2: if constexpr (panel_vectors >= 2) tile_bfloat16<R, 2>(packed, panel, start, y, stride); return;
                    case 3: if constexpr (panel_vectors >= 3) tile_bfloat16<R, 3>(packed, panel, start, y, stride); return;
                    default: if constexpr (panel_vectors >= 4) tile_bfloat16<R, 4>(packed, panel, start, y, stride); return;
                }
            }
        }
        switch (panel.lanes / L) {
            case 1: tile<R, 1>(packed, panel, start, y, stride); return;
            case 2: if constexpr (panel_vectors >= 2) tile<R, 2>(packed, panel, start, y, stride); return;
            case 3: if constexpr (panel_vectors >= 3) tile<R, 3>(packed, panel, start, y, stride); return;
            default: if constexpr (panel_vectors >= 4) tile<R, 4>(packed, panel, start, y, stride); return;
        }
    }

    void product(const Instruction& instruction) {
        int32_t stride = 0;
        T* to = place(instruction.dst, stride);
        const Packed& packed = work_.packed[instruction.a.index];
        constexpr int wide = panel_vectors * L;
        Start start{{}, 0, 0};
        for (const Arg* arg : {&instruction.b, &instruction.c})
            if (arg->space != Space::none) start.values[start.count++] = source(*arg);
        for (int j = 0; j < block_.columns; j += wide) {
            const Panel& panel = packed.panels[(block_.column + j) / wide];
            start.column = j;
#ifdef LATCHWORK_TILES
            if constexpr (sizeof(T) == 4) {
                if (work_.bfloat16) {
                    product_in_tiles(work_, packed, panel, block_, start, to + j, stride);
                    continue;
                }
            }
#endif
            switch (block_.rows) {
                case 1: panel_of<1>(packed, panel, start, to + j, stride); break;
                case 2: panel_of<2>(packed, panel, start, to + j, stride); break;
                case 3: panel_of<3>(packed, panel, start, to + j, stride); break;
                case 4: panel_of<4>(packed, panel, start, to + j, stride); break;
                case 5: panel_of<5>(packed, panel, start, to + j, stride); break;
                default: panel_of<6>(packed, panel, start, to + j, stride); break;
            }
        }
    }

    const Stage& stage_;
    const Work<T>& work_;
    const Block& block_;
};

template <class T>
void run_stage(const Stage& stage, const Work<T>& work, const Block& block) {
    Runner<T>(stage, work, block).run();
}

template <class T>
void mirror_of(const T* from, uint16_t* to, int64_t count) {
    int64_t i = 0;
    if constexpr (sizeof(T) == 4)
        for (; i + lanes<T> <= count; i += lanes<T>) store_bfloat16(to + i, load<T>(from + i));
    for (; i < count; ++i) to[i] = rounded(static_cast<float>(from[i]));
}

template <class T>
Kernels<T> table() {
    return {6, panel_vectors * lanes<T>, &run_stage<T>, &mirror_of<T>};
}
