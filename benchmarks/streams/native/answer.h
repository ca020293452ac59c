/* What the upstream answers: the settings of one answer, and the events that they give, one after another. */
#ifndef ANSWER_H
#define ANSWER_H

#include "common.h"

enum { MAX_PIECE = 1 << 20, MAX_PIECES = 1000000 };

typedef enum { WORDS, THOUGHTS, LETTERS, DIGITS, ANGLES, BACKTICKS, CJK, SENTENCE } Text;
static const char *const TEXT_NAMES[] = {"words",  "thoughts",  "letters", "digits",
                                         "angles", "backticks", "cjk",     "sentence"};

typedef struct {
    long think;    /* pieces of reasoning, between <think> and </think> or in a field */
    long body;     /* pieces of unstamped answer after it */
    long tokens;   /* stamped tokens of answer after those */
    long size;     /* bytes of an unstamped piece; 0: one word, thought or character */
    long pace_us;  /* between two pieces; 0: as fast as they are taken */
    long first_us; /* before the first piece */
    long field;    /* reasoning comes in the field reasoning_content */
    Text text;     /* of the unstamped pieces */
} Settings;

static const struct {
    const char *name;
    size_t place;
    long most;
} KEYS[] = {
    {"think", offsetof(Settings, think), MAX_PIECES},       {"body", offsetof(Settings, body), MAX_PIECES},
    {"tokens", offsetof(Settings, tokens), MAX_PIECES},     {"size", offsetof(Settings, size), MAX_PIECE},
    {"pace_us", offsetof(Settings, pace_us), 60000000},     {"first_us", offsetof(Settings, first_us), 60000000},
    {"field", offsetof(Settings, field), 1},
};

static void set_one(Settings *settings, const char *key, const char *value)
{
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        if (!strcmp(key, KEYS[i].name)) {
            long number = atol(value);
            *(long *)((char *)settings + KEYS[i].place) =
                number < 0 ? 0 : number > KEYS[i].most ? KEYS[i].most : number;
        }
    for (int i = WORDS; i <= SENTENCE; i++)
        if (!strcmp(key, "text") && !strcmp(value, TEXT_NAMES[i]))
            settings->text = i;
}

/* Read "key=value,key=value"; an unknown key is ignored, a number is kept within its bound. */
static void read_settings(Settings *settings, const char *text, size_t length)
{
    char copy[MAX_SETTINGS], *rest = copy;
    snprintf(copy, sizeof copy, "%.*s", (int)length, text);
    for (char *pair; (pair = strsep(&rest, ","));) {
        char *value = strchr(pair, '=');
        if (value) {
            *value = 0;
            set_one(settings, pair, value + 1);
        }
    }
}

static const char *const THOUGHT_LIST[] = {
    "The two trains leave at different times, so I first need the distance that the slow one covers alone.",
    "At 60 km/h it covers 30 km in the half hour before the fast train starts.",
    "Then the gap closes by 40 km each hour, because 100 minus 60 is 40.",
    "Dividing 30 by 40 gives three quarters of an hour for the chase.",
    "Let me check this with positions instead of relative speed.",
    "After 45 minutes the fast train has gone 75 km from the station.",
    "The slow train has been moving for 75 minutes, which also makes 75 km.",
    "Both positions agree, so the meeting point is 75 km down the line.",
    "The question asks for the clock time, not for the duration.",
    "The fast train left at half past nine, and 45 minutes later it is a quarter past ten.",
    "I should also consider whether the stops in between change anything.",
    "No stop is mentioned in the task, so the simple model is enough.",
};
enum { THOUGHT_COUNT = sizeof THOUGHT_LIST / sizeof *THOUGHT_LIST, MAX_WORDS = 512 };

typedef struct {
    const char *text;
    size_t length;
} Span;

static Span word_list[MAX_WORDS];
static int word_count;

static void add_words(const char *text)
{
    while (*text && word_count < MAX_WORDS) {
        size_t length = strcspn(text, " ");
        word_list[word_count++] = (Span){text, length};
        text += length + (text[length] == ' ');
    }
}

/* The smallest unit number `index` of a text: a word, a thought, or the one character repeated. */
static Span unit_of(Text text, long index)
{
    static const char *const UNITS[] = {[LETTERS] = "x",   [DIGITS] = "7", [ANGLES] = "<",
                                        [BACKTICKS] = "`", [CJK] = "推",   [SENTENCE] = "and"};
    if (!word_count)
        for (int i = 0; i < THOUGHT_COUNT; i++)
            add_words(THOUGHT_LIST[i]);
    if (text == WORDS)
        return word_list[index % word_count];
    const char *unit = text == THOUGHTS ? THOUGHT_LIST[index % THOUGHT_COUNT] : UNITS[text];
    return (Span){unit, strlen(unit)};
}

static bool has_blanks(Text text)
{
    return text == WORDS || text == THOUGHTS || text == SENTENCE;
}

/* Add piece number `index`: units until it has `size` bytes, each after a blank where the text has blanks. */
static void add_piece(Buffer *out, const Settings *settings, long index)
{
    size_t length = 0;
    for (long at = settings->size ? 0 : index; !length || length < (size_t)settings->size; at++) {
        Span unit = unit_of(settings->text, at);
        if (has_blanks(settings->text))
            buffer_add(out, " ", 1);
        buffer_add(out, unit.text, unit.length);
        length += unit.length + has_blanks(settings->text);
    }
}

static char *put_hex(char *to, uint64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value >>= 4)
        to[i] = "0123456789abcdef"[value & 15];
    return to + digits;
}

/* Add a token of the answer: a short word with the instant and its number. */
static void add_token(Buffer *out, long number)
{
    char token[5 + STAMP_LENGTH] = " word@";
    char *end = put_hex(token + 6, now_us(), 16);
    *end++ = '#';
    end = put_hex(end, number, 6);
    *end = ';';
    buffer_add(out, token, sizeof token);
}

#endif
