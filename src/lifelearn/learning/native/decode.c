/* One more token for a few rows: all layers in one call, weights read once, in four bits where they have no more.
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

#include "bfloat16.h"

#define GROUP 32 /* inputs that share a step and a middle, as in levels.py */
#define BLOCK 16 /* outputs at a time, a lane each */
#define CHUNK 8  /* rows at a time, whose sums stay in registers */

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

/* What a linear layer needs besides its input: sums of its groups, its product with LoRA's a, and whether the thread
 * has tiles. */
typedef struct {
    float *sums, *inner;
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

static void prepare(const Linear *l, const bf16 *restrict x, i64 rows, Prepared *to)
{
    i64 groups = l->inputs / GROUP;
    for (i64 r = 0; r < rows; r++) {
        const bf16 *a = x + r * l->inputs;
        for (i64 g = 0; l->bits == 4 && g < groups; g++) {
            float sum = 0;
            for (i64 j = g * GROUP; j < (g + 1) * GROUP; j++) sum += wide(a[j]);
            to->sums[r * groups + g] = sum;
        }
        for (i64 k = 0; k < l->rank; k++) to->inner[r * l->rank + k] = rounded(dot(l->a + k * l->inputs, a, l->inputs));
    }
}

static inline __m512 widened(const bf16 *x) /* BLOCK of them */
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline __m512bh pair(const bf16 *x) /* of neighbours, in each lane */
{
    int both;
    memcpy(&both, x, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

static inline __m512 scale(const uint16_t *x) /* BLOCK of them, float16 */
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)x));
}

#define TABLE(...) _mm512_broadcast_i64x4(_mm256_setr_epi16(__VA_ARGS__)) /* twice: see below */
#define B(x) (short)(0x##x) /* bfloat16 by its bits */

/* What the four bits of a level mean, as bfloat16, for a lookup in each lane. It reads five bits, of which the fifth is
 * not its own; so each table is there twice. */
typedef struct {
    __m512i low, high;
} Tables;

static inline Tables tables(int bits)
{
    const __m512i four = TABLE(B(c100), B(c0e0), B(c0c0), B(c0a0), B(c080), B(c040), B(c000), B(bf80), 0, B(3f80), B(4000),
                               B(4040), B(4080), B(40a0), B(40c0), B(40e0)); /* -8 … 7 */
    const __m512i low = TABLE(0, B(3f80), B(4000), B(4040), B(4080), B(40a0), B(40c0), B(40e0), B(4100), B(4110), B(4120),
                              B(4130), B(4140), B(4150), B(4160), B(4170)); /* 0 … 15 */
    const __m512i high = TABLE(B(c300), B(c2e0), B(c2c0), B(c2a0), B(c280), B(c240), B(c200), B(c180), 0, B(4180), B(4200),
                               B(4240), B(4280), B(42a0), B(42c0), B(42e0)); /* 16 times -8 … 7 */
    return bits == 4 ? (Tables){four, four} : (Tables){low, high};
}

/* 2 * BLOCK bytes of a block's levels: what their lower halves say, and what their upper ones do. In four bits these
 * are of two pairs of inputs, in eight bits parts of one. */
static inline void looked_up(const uint8_t *w, const Tables *t, __m512i *lower, __m512i *upper)
{
    __m512i both = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)w));
    *lower = _mm512_permutexvar_epi16(both, t->low);
    *upper = _mm512_permutexvar_epi16(_mm512_srli_epi16(both, 4), t->high);
}

/* y += the products `dots` of a group's levels, scaled. */
static inline __m512 scaled(const uint16_t *scales, int bits, __m512 dots, float sum, __m512 y)
{
    y = _mm512_fmadd_ps(dots, scale(scales), y);
    return bits == 4 ? _mm512_fmadd_ps(scale(scales + BLOCK), _mm512_set1_ps(sum), y) : y;
}

/* A block of outputs of `count` rows, by four or eight bits. Each row sums in `chains` registers, so that none waits
 * for the last. All three numbers are known when this is compiled. */
static inline __attribute__((always_inline)) void levels(const Linear *l, const bf16 *x, const float *sums, i64 block,
                                                         const int bits, const int count, const int chains, __m512 *y)
{
    const Tables t = tables(bits);
    const i64 groups = l->inputs / GROUP, size = BLOCK * GROUP * bits / 8;
    const int kinds = bits == 4 ? 2 : 1;
    const uint8_t *w = (const uint8_t *)l->weight + block * groups * size;
    const uint16_t *scales = (const uint16_t *)l->scales + block * groups * kinds * BLOCK;
    for (int r = 0; r < count; r++) y[r] = _mm512_setzero_ps();
    for (i64 g = 0; g < groups; g++, w += size, scales += kinds * BLOCK) {
        __m512 dots[CHUNK];
        for (int c = 0; c < count * chains; c++) dots[c] = _mm512_setzero_ps();
#pragma GCC unroll 16
        for (int at = 0; at < size / (2 * BLOCK); at++) {
            __m512i first, second;
            looked_up(w + 2 * BLOCK * at, &t, &first, &second);
            for (int r = 0; r < count; r++) {
                const bf16 *a = x + r * l->inputs + g * GROUP + (bits == 4 ? 4 : 2) * at;
                __m512 *one = dots + r * chains + 2 * at % chains, *other = dots + r * chains + (2 * at + 1) % chains;
                *one = _mm512_dpbf16_ps(*one, (__m512bh)first, pair(a));
                *other = _mm512_dpbf16_ps(*other, (__m512bh)second, pair(bits == 4 ? a + 2 : a));
            }
        }
        for (int r = 0; r < count; r++) {
            __m512 *own = dots + r * chains;
            for (int c = 1; c < chains; c++) *own = _mm512_add_ps(*own, own[c]);
            y[r] = scaled(scales, bits, *own, bits == 4 ? sums[r * groups + g] : 0, y[r]);
        }
    }
}

#ifdef __AMX_BF16__
#define TILED 3 /* rows from which tiles are faster */
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

/* The same as `levels` for any number of rows, a group at a time in a tile. */
static inline __attribute__((always_inline)) void tiled(const Linear *l, const bf16 *x, const float *sums, i64 block,
                                                        const int bits, i64 rows, __m512 *y)
{
    const Tables t = tables(bits);
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
            if (bits == 4) looked_up(w + 2 * BLOCK * at, &t, own + 2 * at, own + 2 * at + 1);
            else looked_up(w + 2 * BLOCK * at, &t, own + at, upper + at);
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
                y[r] = scaled(scales, bits, found[r - first], bits == 4 ? sums[r * groups + g] : 0, y[r]);
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
        i64 r = 0, groups = l->inputs / GROUP;
#define SOME(bits, count, chains) \
    levels(l, x + r * l->inputs, with->sums + r * groups, block, bits, count, chains, y + r), r += count
#define ALL(bits)                                   \
    while (r + CHUNK <= rows) SOME(bits, CHUNK, 1); \
    if (r + 4 <= rows) SOME(bits, 4, 2);            \
    if (r + 2 <= rows) SOME(bits, 2, 4);            \
    if (r < rows) SOME(bits, 1, 4)
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

static void norm_row(const bf16 *x, const bf16 *weight, bf16 *y, i64 n, float eps)
{
    float sum = 0;
    for (i64 j = 0; j < n; j++) sum += wide(x[j]) * wide(x[j]);
    float inverse = 1.f / sqrtf(sum / n + eps);
    for (i64 j = 0; j < n; j++) y[j] = narrow(rounded(wide(x[j]) * inverse) * wide(weight[j]));
}

static void turned(const bf16 *x, const bf16 *norm, const bf16 *cosine, const bf16 *sine, bf16 *y, i64 size, float eps)
{
    bf16 unit[size];
    if (norm) norm_row(x, norm, unit, size, eps);
    else memcpy(unit, x, size * sizeof(bf16));
    for (i64 j = 0, half = size / 2; j < half; j++) {
        float p = wide(unit[j]), q = wide(unit[j + half]), c = wide(cosine[j]), s = wide(sine[j + half]);
        y[j] = narrow(p * c - q * s);
        y[j + half] = narrow(q * c + p * s);
    }
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
        for (i64 t = first; t <= s->at; t++) {
            scores[t] = dot(query, keys + t * size, size) * scale;
            top = scores[t] > top ? scores[t] : top;
        }
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
    const i64 heads = layers->qkv.outputs, most = middle > width ? (middle > asked ? middle : asked) : width > asked ? width : asked;
    i64 rank = head->rank;
    for (i64 i = 0; i < s->layers; i++) {
        const Linear *each[] = {&layers[i].qkv, &layers[i].out, &layers[i].gate_up, &layers[i].down};
        for (int j = 0; j < 4; j++) rank = each[j]->rank > rank ? each[j]->rank : rank;
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
        Prepared with = {malloc(rows * (most / GROUP + 1) * sizeof(float)), malloc((rows * rank + 1) * sizeof(float)), 0};
        float *scores = malloc(s->places * sizeof(float));
        bf16 *unit = calloc(room * width, sizeof(bf16));
        __m512 y[rows], up[rows];
        if (!with.sums || !with.inner || !scores || !unit) {
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
                EACH {
                    float gate = rounded(Y(y));
                    active[r * middle + o] = narrow(rounded(gate / (1.f + expo(-gate))) * rounded(Y(up)));
                }
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
        free(with.sums), free(with.inner), free(scores), free(unit);
    }
    free(qkv);
    return failed;
}
