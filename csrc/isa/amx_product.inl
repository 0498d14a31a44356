// Products in bfloat16 by tiles. Included before kernels.inl, which calls product_in_tiles(), after a struct `Tiles`
// with the five instructions: isa/amx.cpp has the processor's, csrc/tests/amx_emulated.h the same ones written out.
//
// A packed panel is already what a tile of weights is: a row for each pair of operand columns, 16 pairs of 2 x 2 bytes
// in it, the next row `lanes` pairs further on. Sums stay in tiles over all runs of a panel. A row's sum depends on its
// own operands and the weights alone, in the same order for any number of rows.

inline constexpr int tile_rows = 16;  // rows of a block, columns of a sum, pairs of a step

template <int N>  // tiles of 16 columns side by side: tile 0 … N - 1 hold the sums
class PanelInTiles {
  public:
    PanelInTiles(int rows, float* to, int32_t stride) : rows_(rows), to_(to), stride_(int64_t{stride} * 4) {}

    // `started`: the sums go on from what stands where they will be.
    void product(const Work<float>& work, const Packed& packed, const Panel& panel, int32_t first_row, bool started) {
        shape(first_rest(packed, panel));
        if (started) load();
        for (int i = 0; i < panel.runs; ++i) {
            const Run& run = packed.runs[panel.first_run + i];
            const int64_t step = work.strides[run.buffer];
            const uint16_t* x = work.mirrors[run.buffer] + first_row * step + run.begin;
            const uint32_t* w = static_cast<const uint32_t*>(packed.store) + run.packed;
            int32_t k = 0;
            for (; k + 2 * tile_rows <= run.count; k += 2 * tile_rows, w += tile_rows * N * 16) {
                Tiles::load<operand>(x + k, step * 2);
                each([w](auto n) {
                    Tiles::load<weights>(w + n * 16, N * 64);
                    Tiles::dot<n, operand, weights>();
                });
            }
            if (const int pairs = rest(run); pairs) {
                if (pairs != pairs_) reshape(pairs);
                Tiles::load<operand_rest>(x + k, step * 2);
                each([w](auto n) {
                    Tiles::load<weights_rest>(w + n * 16, N * 64);
                    Tiles::dot<n, operand_rest, weights_rest>();
                });
            }
        }
        store();
        Tiles::release();
    }

  private:
    static constexpr int operand = 4, weights = 5;            // 16 pairs
    static constexpr int operand_rest = 6, weights_rest = 7;  // as many pairs as are left at the end of a run

    // Pairs that are left at the end of a run. Of an odd number of columns, the last is a pair with a weight of 0.
    static int rest(const Run& run) { return (run.count % (2 * tile_rows) + 1) / 2; }

    static int first_rest(const Packed& packed, const Panel& panel) {
        for (int i = 0; i < panel.runs; ++i)
            if (const int pairs = rest(packed.runs[panel.first_run + i]); pairs) return pairs;
        return 0;
    }

    template <class F>
    static void each(F&& f) {
        [&f]<int... n>(std::integer_sequence<int, n...>) {
            (f(std::integral_constant<int, n>{}), ...);
        }(std::make_integer_sequence<int, N>{});
    }

    // All tiles are 0 afterwards: that is what the instruction does.
    void shape(int pairs) {
        TileShapes shapes;
        const auto set = [&shapes](int tile, int rows, int bytes) {
            shapes.rows[tile] = static_cast<uint8_t>(rows);
            shapes.bytes[tile] = static_cast<uint16_t>(bytes);
        };
        for (int n = 0; n < N; ++n) set(n, rows_, 64);
        set(operand, rows_, 64);
        set(weights, tile_rows, 64);
        if (pairs) {
            set(operand_rest, rows_, 4 * pairs);
            set(weights_rest, pairs, 64);
        }
        Tiles::configure(shapes);
        pairs_ = pairs;
    }

    // Another rest than the run's before: the sums are put aside, which loses nothing, they are float32 there too.
    void reshape(int pairs) {
        store();
        shape(pairs);
        load();
    }

    void load() {
        each([this](auto n) { Tiles::load<n>(to_ + n * 16, stride_); });
    }
    void store() {
        each([this](auto n) { Tiles::store<n>(to_ + n * 16, stride_); });
    }

    const int rows_;
    float* const to_;
    const int64_t stride_;  // bytes
    int pairs_ = 0;
};

// Rows of the block times one panel; there are 1 … 16 rows.
template <class Start>
void product_in_tiles(const Work<float>& work, const Packed& packed, const Panel& panel, const Block& block,
                      const Start& start, float* to, int32_t stride) {
    if (start.count)
        for (int r = 0; r < block.rows; ++r)
            for (int j = 0; j < panel.lanes; j += lanes<float>)
                store<float>(to + int64_t{r} * stride + j, start.at(r, j));
    const bool started = start.count > 0;
    switch (panel.lanes / 16) {
        case 1: PanelInTiles<1>(block.rows, to, stride).product(work, packed, panel, block.row, started); return;
        case 2: PanelInTiles<2>(block.rows, to, stride).product(work, packed, panel, block.row, started); return;
        case 3: PanelInTiles<3>(block.rows, to, stride).product(work, packed, panel, block.row, started); return;
        default: PanelInTiles<4>(block.rows, to, stride).product(work, packed, panel, block.row, started); return;
    }
}
