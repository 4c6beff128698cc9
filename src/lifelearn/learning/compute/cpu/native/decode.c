/* One more token for a few rows: all layers in one call, weights read once, in the bits that they have.
 *
 * decoding.py calls this. What it computes is what decoder.py says in torch; here nothing waits for Python, and threads
 * meet only where a layer needs all of what was before.
 */
#include <immintrin.h>
#include <stdlib.h>
#ifdef __AMX_BF16__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "common.h"

#define AHEAD 4096 /* bytes of weights that are asked for before their time */
#define CHUNK 8    /* rows at a time, whose sums stay in registers */

/* outputs: a multiple of BLOCK. bits: 4 or 8, weight and scales as in levels.py; or 16, bfloat16 [outputs, inputs].
 * LoRA: a [rank, inputs], b [rank, outputs]; rank 0 is none. bias may be null. */
typedef struct {
    const void *weight, *scales;
    const bf16 *bias, *a, *b;
    i64 outputs, inputs, rank, bits;
} Linear;

/* keys, values [rows, K, places, size]. query_norm, key_norm [size] may be null. */
typedef struct {
    const bf16 *attention_norm, *query_norm, *key_norm, *mlp_norm;
    Linear qkv, out, gate_up, down;
    bf16 *keys, *values;
} Layer;

typedef struct {
    i64 layers, rows, queries, keys, size, places, at;
    float eps;
} Shape;

/* What a linear layer needs besides its input x: of each group of it the sum and, for products of whole numbers, steps
 * of `scale` in two bytes: 256 high + low, both signed; x's product with LoRA's a; and whether the thread has tiles,
 * which take x as it is. */
typedef struct {
    float *sums, *scale, *inner;
    int8_t *high, *low;
    int tiles;
} Prepared;

static inline float dot(const bf16 *restrict x, const bf16 *restrict y, i64 n)
{
    __m512 sum = _mm512_setzero_ps();
    for (i64 j = 0; j < n; j += 32) {
        __mmask32 some = n - j < 32 ? (1u << (n - j)) - 1 : ~0u;
        sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_maskz_loadu_epi16(some, x + j),
                               (__m512bh)_mm512_maskz_loadu_epi16(some, y + j));
    }
    return _mm512_reduce_add_ps(sum);
}

/* Where input j of a group has its byte, for lanes of four bytes: in four bits those of the lower and upper halves that
 * `levels` reads together. */
static inline int place(int j, int bits) { return bits == 4 ? j / 8 * 8 + j / 2 % 2 * 4 + j / 4 % 2 * 2 + j % 2 : j; }

static void prepare(const Linear *l, const bf16 *restrict x, i64 rows, Prepared *to)
{
    i64 groups = l->inputs / GROUP;
    for (i64 r = 0; r < rows; r++) {
        const bf16 *a = x + r * l->inputs;
        for (i64 k = 0; k < l->rank; k++) to->inner[r * l->rank + k] = rounded(dot(l->a + k * l->inputs, a, l->inputs));
        for (i64 g = 0; l->bits < 16 && g < groups; g++, a += GROUP) {
            float sum = 0, most = 0, own[GROUP];
            for (int j = 0; j < GROUP; j++) sum += own[j] = wide(a[j]);
            to->sums[r * groups + g] = sum;
            if (to->tiles) continue;
            MAXIMUM(most) for (int j = 0; j < GROUP; j++) most = fabsf(own[j]) > most ? fabsf(own[j]) : most;
            int8_t *high = to->high + (r * groups + g) * GROUP, *low = to->low + (r * groups + g) * GROUP;
            float steps = most > 0 ? 32512 / most : 0; /* 127 * 256 */
            to->scale[r * groups + g] = most / 32512;
            for (int j = 0; j < GROUP; j++) {
                int step = (int)nearbyintf(own[j] * steps), upper = (step + 128) >> 8, at = place(j, (int)l->bits);
                high[at] = (int8_t)upper;
                low[at] = (int8_t)(step - 256 * upper);
            }
        }
    }
}

static inline __m512 widened(const bf16 *x) /* BLOCK of them */
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline __m512i quad(const int8_t *x) /* four of them, in each lane */
{
    int all;
    memcpy(&all, x, sizeof all);
    return _mm512_set1_epi32(all);
}

static inline __m512 scale(const uint16_t *x) /* BLOCK of them, float16 */
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)x));
}

/* y += a group's share: its levels' products with x, and x's sum times what level 0 stands for. */
static inline __m512 scaled(const uint16_t *scales, int bits, __m512 dots, float sum, __m512 y)
{
    __m512 step = scale(scales), least = bits == 4 ? scale(scales + BLOCK) : _mm512_mul_ps(step, _mm512_set1_ps(-128));
    return _mm512_fmadd_ps(least, _mm512_set1_ps(sum), _mm512_fmadd_ps(dots, step, y));
}

/* A block of outputs of `count` rows, by four or eight bits, in whole numbers. bits and count are known when this is
 * compiled. */
static inline __attribute__((always_inline)) void levels(const Linear *l, const Prepared *with, i64 from, i64 block,
                                                         const int bits, const int count, __m512 *y)
{
    /* Of two pairs of inputs, [pair, output, 2], four inputs an output. */
    const __m512i together = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                              5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i lower = _mm512_set1_epi8(15);
    const i64 groups = l->inputs / GROUP, size = BLOCK * GROUP * bits / 8;
    const int kinds = bits == 4 ? 2 : 1;
    const uint8_t *w = (const uint8_t *)l->weight + block * groups * size;
    const uint16_t *scales = (const uint16_t *)l->scales + block * groups * kinds * BLOCK;
    for (int r = 0; r < count; r++) y[r] = _mm512_setzero_ps();
    for (i64 g = 0; g < groups; g++, w += size, scales += kinds * BLOCK) {
        __m512i high[CHUNK], low[CHUNK];
        for (int r = 0; r < count; r++) high[r] = low[r] = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (int at = 0; at < size / 64; at++) {
            _mm_prefetch((const char *)w + 64 * at + AHEAD, _MM_HINT_T0);
            __m512i own = _mm512_permutexvar_epi16(together, _mm512_loadu_si512(w + 64 * at));
#pragma GCC unroll 2
            for (int half = 0; half < 8 / bits; half++) {
                __m512i four = bits == 8 ? own : _mm512_and_si512(half ? _mm512_srli_epi16(own, 4) : own, lower);
                for (int r = 0; r < count; r++) {
                    i64 place = ((from + r) * groups + g) * GROUP + 4 * (at * 8 / bits + half);
                    high[r] = _mm512_dpbusd_epi32(high[r], four, quad(with->high + place));
                    low[r] = _mm512_dpbusd_epi32(low[r], four, quad(with->low + place));
                }
            }
        }
        for (int r = 0; r < count; r++) {
            i64 place = (from + r) * groups + g;
            __m512i both = _mm512_add_epi32(_mm512_slli_epi32(high[r], 8), low[r]);
            __m512 dots = _mm512_mul_ps(_mm512_cvtepi32_ps(both), _mm512_set1_ps(with->scale[place]));
            y[r] = scaled(scales, bits, dots, with->sums[place], y[r]);
        }
    }
}

#ifdef __AMX_BF16__
#define TILED 9 /* rows from which tiles are faster */
#define TILE 16 /* rows of a tile; more take turns, and those beyond the last row are zero */

typedef struct {
    uint8_t palette, start, unused[14];
    uint16_t width[16]; /* in bytes */
    uint8_t height[16];
} Tiles;

/* Tiles 0 [rows, BLOCK] of float32, 1 [rows, GROUP], 2 and 3 [GROUP / 2, BLOCK, 2] of bfloat16. `before` takes what
 * the thread had, for torch's library may count on it. */
static void take_tiles(i64 rows, Tiles *before)
{
    uint8_t height = rows < TILE ? rows : TILE;
    Tiles own = {.palette = 1, .width = {64, 64, 64, 64}, .height = {height, height, GROUP / 2, GROUP / 2}};
    _tile_storeconfig(before);
    _tile_loadconfig(&own);
}

static void give_tiles_back(const Tiles *before)
{
    if (before->palette) _tile_loadconfig(before);
    else _tile_release();
}

/* Whether the system lets this process use them; Linux wants to be asked. */
static int tiles_allowed(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    static int allowed = -1;
    if (allowed < 0) allowed = !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA);
    return allowed;
}

#define TABLE(...) _mm512_broadcast_i64x4(_mm256_setr_epi16(__VA_ARGS__)) /* twice: see there */
#define B(x) (short)(0x##x) /* bfloat16 by its bits */

/* 2 * BLOCK bytes of a block's levels as bfloat16: what their lower halves say, and what their upper ones do. In four
 * bits these are of two pairs of inputs, in eight bits parts of one. */
static inline void looked_up(const uint8_t *w, int bits, __m512i *lower, __m512i *upper)
{
    /* A lookup reads five bits, of which the fifth is not its own; so each table is there twice. */
    const __m512i ones = TABLE(0, B(3f80), B(4000), B(4040), B(4080), B(40a0), B(40c0), B(40e0), B(4100), B(4110), B(4120),
                               B(4130), B(4140), B(4150), B(4160), B(4170)); /* 0 … 15 */
    const __m512i sixteens = TABLE(0, B(4180), B(4200), B(4240), B(4280), B(42a0), B(42c0), B(42e0), B(4300), B(4310),
                                   B(4320), B(4330), B(4340), B(4350), B(4360), B(4370)); /* 16 times that */
    __m512i both = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)w));
    *lower = _mm512_permutexvar_epi16(both, ones);
    *upper = _mm512_permutexvar_epi16(_mm512_srli_epi16(both, 4), bits == 4 ? ones : sixteens);
}

/* The same as `levels` for any number of rows, a group at a time in a tile. */
static inline __attribute__((always_inline)) void tiled(const Linear *l, const bf16 *x, const float *sums, i64 block,
                                                        const int bits, i64 rows, __m512 *y)
{
    const i64 groups = l->inputs / GROUP, size = BLOCK * GROUP * bits / 8;
    const int kinds = bits == 4 ? 2 : 1;
    const uint8_t *w = (const uint8_t *)l->weight + block * groups * size;
    const uint16_t *scales = (const uint16_t *)l->scales + block * groups * kinds * BLOCK;
    __m512i weights[2][GROUP]; /* two, so that one group need not wait for the one before */
    __m512 dots[2][TILE];
    for (i64 r = 0; r < rows; r++) y[r] = _mm512_setzero_ps();
    for (i64 g = 0; g < groups; g++, w += size, scales += kinds * BLOCK) {
        __m512i *own = weights[g % 2], *upper = own + GROUP / 2;
#pragma GCC unroll 16
        for (int at = 0; at < size / (2 * BLOCK); at++) {
            if (bits == 4) looked_up(w + 2 * BLOCK * at, bits, own + 2 * at, own + 2 * at + 1);
            else looked_up(w + 2 * BLOCK * at, bits, own + at, upper + at);
        }
        _tile_loadd(2, own, 64);
        if (bits == 8) _tile_loadd(3, upper, 64);
        for (i64 first = 0; first < rows; first += TILE) {
            __m512 *found = dots[(g + first / TILE) % 2];
            _tile_zero(0);
            _tile_loadd(1, x + first * l->inputs + g * GROUP, l->inputs * sizeof(bf16));
            _tile_dpbf16ps(0, 1, 2);
            if (bits == 8) _tile_dpbf16ps(0, 1, 3);
            _tile_stored(0, found, 64);
            for (i64 r = first; r < rows && r < first + TILE; r++)
                y[r] = scaled(scales, bits, found[r - first], sums[r * groups + g], y[r]);
        }
    }
}
#endif

/* A block of outputs of all rows: y [rows, BLOCK]. */
static void linear(const Linear *l, const bf16 *x, const Prepared *with, i64 rows, i64 block, __m512 *y)
{
#ifdef __AMX_BF16__
    if (l->bits < 16 && with->tiles) {
        if (l->bits == 4) tiled(l, x, with->sums, block, 4, rows, y);
        else tiled(l, x, with->sums, block, 8, rows, y);
    } else
#endif
    if (l->bits < 16) {
        i64 r = 0;
#define SOME(bits, count) levels(l, with, r, block, bits, count, y + r), r += count
#define ALL(bits)                                \
    while (r + CHUNK <= rows) SOME(bits, CHUNK); \
    if (r + 4 <= rows) SOME(bits, 4);            \
    if (r + 2 <= rows) SOME(bits, 2);            \
    if (r < rows) SOME(bits, 1)
        if (l->bits == 4) {
            ALL(4);
        } else {
            ALL(8);
        }
    } else {
        for (i64 o = 0; o < BLOCK; o++)
            for (i64 r = 0; r < rows; r++)
                ((float *)(y + r))[o] = dot((const bf16 *)l->weight + (block * BLOCK + o) * l->inputs, x + r * l->inputs, l->inputs);
    }
    for (i64 r = 0; l->bias && r < rows; r++) y[r] = _mm512_add_ps(y[r], widened(l->bias + block * BLOCK));
    for (i64 k = 0; k < l->rank; k++) {
        __m512 column = widened(l->b + k * l->outputs + block * BLOCK);
        for (i64 r = 0; r < rows; r++)
            y[r] = _mm512_fmadd_ps(column, _mm512_set1_ps(with->inner[r * l->rank + k]), y[r]);
    }
}

/* A head with its norm, where it has one, and its position. */
static void turned(const bf16 *x, const bf16 *norm, const bf16 *cosine, const bf16 *sine, bf16 *y, i64 size, float eps)
{
    bf16 unit[size];
    if (norm) norm_row(x, norm, unit, size, eps);
    turn_head(norm ? unit : x, cosine, sine, y, size / 2, 1);
}

/* The new token of row r as the key-value head k sees it: its key and value join the cache, y gets what its query heads
 * find there. scores: room for as many floats as there are places. */
static void attend(const Layer *l, const Shape *s, const bf16 *qkv, const bf16 *cosine, const bf16 *sine, i64 first,
                   i64 r, i64 k, bf16 *y, float *scores)
{
    i64 size = s->size, groups = s->queries / s->keys, heads = s->queries + 2 * s->keys;
    const bf16 *own = qkv + r * heads * size;
    bf16 *keys = l->keys + (r * s->keys + k) * s->places * size, *values = l->values + (keys - l->keys), query[size];
    turned(own + (s->queries + k) * size, l->key_norm, cosine, sine, keys + s->at * size, size, s->eps);
    memcpy(values + s->at * size, own + (s->queries + s->keys + k) * size, size * sizeof(bf16));
    for (i64 h = k * groups; h < (k + 1) * groups; h++) {
        turned(own + h * size, l->query_norm, cosine, sine, query, size, s->eps);
        float top = -FLT_MAX, sum = 0, found[size], scale = 1.f / sqrtf((float)size);
        for (i64 t = first; t <= s->at; t++) scores[t] = dot(query, keys + t * size, size) * scale;
        MAXIMUM(top) for (i64 t = first; t <= s->at; t++) top = scores[t] > top ? scores[t] : top;
        for (i64 t = first; t <= s->at; t++) sum += scores[t] = expo(scores[t] - top);
        memset(found, 0, sizeof found);
        for (i64 t = first; t <= s->at; t++)
            for (i64 j = 0; j < size; j++) found[j] += scores[t] * wide(values[t * size + j]);
        for (i64 j = 0; j < size; j++) y[(r * s->queries + h) * size + j] = narrow(found[j] / sum);
    }
}

/* Each output o of a block, of each row r; and its value among those that `linear` gave. */
#define EACH for (i64 r = 0; r < rows; r++) for (i64 o = block * BLOCK; o < (block + 1) * BLOCK; o++)
#define Y(y) ((const float *)((y) + r))[o - block * BLOCK]

/* x [rows, E]: the new tokens' embeddings, which the layers change. cosine, sine [rows, size], the first half of the
 * sines not read. first [rows]: the first place of each row in the cache. logits [rows, V]. Gives 0, or 1 where there
 * is no memory. */
int decode(const Layer *layers, const Linear *head, const bf16 *final_norm, const Shape *s, bf16 *x, const bf16 *cosine,
           const bf16 *sine, const i64 *first, bf16 *logits)
{
    const i64 rows = s->rows, width = head->inputs, middle = layers->down.inputs, asked = s->queries * s->size;
    const i64 heads = layers->qkv.outputs;
    i64 rank = 0, most = width; /* of any linear layer's LoRA, and of its inputs */
    for (i64 i = 0; i < s->layers; i++) {
        const Linear *each[] = {&layers[i].qkv, &layers[i].out, &layers[i].gate_up, &layers[i].down};
        for (int j = 0; j < 4; j++) {
            rank = each[j]->rank > rank ? each[j]->rank : rank;
            most = each[j]->inputs > most ? each[j]->inputs : most;
        }
    }
    const i64 room = (rows + 15) / 16 * 16; /* rows that tiles may read */
    bf16 *qkv = calloc(rows * heads + room * (asked + middle), sizeof(bf16));
    if (!qkv) return 1;
    bf16 *found = qkv + rows * heads, *active = found + room * asked;
    int failed = 0;
#ifdef __AMX_BF16__
    const int tiles = rows >= TILED && tiles_allowed();
#endif
#pragma omp parallel
    {
        Prepared with = {
            .sums = malloc(rows * (most / GROUP + 1) * sizeof(float)),
            .scale = malloc(rows * (most / GROUP + 1) * sizeof(float)),
            .inner = malloc((rows * rank + 1) * sizeof(float)),
            .high = malloc(rows * most),
            .low = malloc(rows * most),
        };
        float *scores = malloc(s->places * sizeof(float));
        bf16 *unit = calloc(room * width, sizeof(bf16));
        __m512 y[rows], up[rows];
        if (!with.sums || !with.scale || !with.inner || !with.high || !with.low || !scores || !unit) {
#pragma omp atomic write
            failed = 1;
        }
#ifdef __AMX_BF16__
        Tiles before;
        if ((with.tiles = tiles)) take_tiles(rows, &before);
#endif
#pragma omp barrier
        for (i64 i = 0; i < s->layers && !failed; i++) {
            const Layer *l = layers + i;
            for (i64 r = 0; r < rows; r++) norm_row(x + r * width, l->attention_norm, unit + r * width, width, s->eps);
            prepare(&l->qkv, unit, rows, &with);
#pragma omp for schedule(static)
            for (i64 block = 0; block < heads / BLOCK; block++) {
                linear(&l->qkv, unit, &with, rows, block, y);
                EACH qkv[r * heads + o] = narrow(Y(y));
            }
#pragma omp for schedule(static)
            for (i64 each = 0; each < rows * s->keys; each++) {
                i64 r = each / s->keys;
                attend(l, s, qkv, cosine + r * s->size, sine + r * s->size, first[r], r, each % s->keys, found, scores);
            }
            prepare(&l->out, found, rows, &with);
#pragma omp for schedule(static)
            for (i64 block = 0; block < width / BLOCK; block++) {
                linear(&l->out, found, &with, rows, block, y);
                EACH x[r * width + o] = narrow(wide(x[r * width + o]) + rounded(Y(y)));
            }
            for (i64 r = 0; r < rows; r++) norm_row(x + r * width, l->mlp_norm, unit + r * width, width, s->eps);
            prepare(&l->gate_up, unit, rows, &with);
#pragma omp for schedule(static)
            for (i64 block = 0; block < middle / BLOCK; block++) {
                linear(&l->gate_up, unit, &with, rows, block, y);
                linear(&l->gate_up, unit, &with, rows, middle / BLOCK + block, up);
                EACH active[r * middle + o] = swiglu_one(rounded(Y(y)), rounded(Y(up)));
            }
            prepare(&l->down, active, rows, &with);
#pragma omp for schedule(static)
            for (i64 block = 0; block < width / BLOCK; block++) {
                linear(&l->down, active, &with, rows, block, y);
                EACH x[r * width + o] = narrow(wide(x[r * width + o]) + rounded(Y(y)));
            }
        }
        if (!failed) {
            for (i64 r = 0; r < rows; r++) norm_row(x + r * width, final_norm, unit + r * width, width, s->eps);
            prepare(head, unit, rows, &with);
#pragma omp for schedule(static)
            for (i64 block = 0; block < head->outputs / BLOCK; block++) {
                linear(head, unit, &with, rows, block, y);
                EACH logits[r * head->outputs + o] = narrow(Y(y));
            }
        }
#ifdef __AMX_BF16__
        if (tiles) give_tiles_back(&before);
#endif
        free(with.sums), free(with.scale), free(with.inner), free(with.high), free(with.low), free(scores), free(unit);
    }
    free(qkv);
    return failed;
}
