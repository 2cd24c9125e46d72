/*
 * RFC 3339 and HTTP dates: see time_text.h.
 *
 * Design: no strptime, no timegm: both depend on locale or on what the C library thinks of a calendar. The day
 * count is the arithmetic of the proleptic Gregorian calendar with a year that begins in March, so that the leap
 * day is the last day of the year and needs no case of its own.
 */
#include "base/time_text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Milliseconds of a second, a minute, an hour and a day. */
#define MS_PER_SECOND INT64_C(1000)
#define MS_PER_MINUTE (60 * MS_PER_SECOND)
#define MS_PER_HOUR (60 * MS_PER_MINUTE)
#define MS_PER_DAY (24 * MS_PER_HOUR)

/* 9999-12-31T23:59:59.999Z: the last time that four digits of a year can write. */
#define TIME_LAST_MS INT64_C(253402300799999)

/* Length of an IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT. */
#define HTTP_DATE_BYTES 29

/* Days of 400 years, after which the calendar repeats, and days from 0000-03-01 to 1970-01-01. */
#define DAYS_PER_ERA 146097
#define DAYS_BEFORE_1970 719468

/* What is left of a text that is being read. */
struct time_reader {
    const char *next; /* first unread byte */
    const char *end;  /* one past the last */
};

static bool time_is_leap_year(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t time_month_days(int64_t year, int64_t month)
{
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && time_is_leap_year(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01 to a date of the years 0..9999. */
static int64_t time_day_number(int64_t year, int64_t month, int64_t day)
{
    /* A year earlier for January and February; 400 years are added so that nothing is negative. */
    int64_t march_year = (month <= 2 ? year - 1 : year) + 400;
    int64_t march_month = (month + 9) % 12;
    int64_t year_day = (153 * march_month + 2) / 5 + day - 1;
    int64_t leap_days = march_year / 4 - march_year / 100 + march_year / 400;
    return march_year * 365 + leap_days + year_day - DAYS_BEFORE_1970 - DAYS_PER_ERA;
}

static void time_date_of_day(int64_t day_number, int *ret_year, int *ret_month, int *ret_day)
{
    int64_t days = day_number + DAYS_BEFORE_1970;
    int64_t era = days / DAYS_PER_ERA;
    int64_t era_day = days % DAYS_PER_ERA;
    int64_t era_year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
    int64_t year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    int64_t march_month = (5 * year_day + 2) / 153;
    *ret_day = (int)(year_day - (153 * march_month + 2) / 5 + 1);
    *ret_month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);
    *ret_year = (int)(era * 400 + era_year + (*ret_month <= 2 ? 1 : 0));
}

/* Reads exactly `digit_count` decimal digits. */
static bool time_read_digits(struct time_reader *reader, int digit_count, int64_t *ret_number)
{
    int64_t number = 0;
    for (int i = 0; i < digit_count; i++) {
        if (reader->next == reader->end || !isdigit((unsigned char)*reader->next))
            return false;
        number = number * 10 + (*reader->next - '0');
        reader->next++;
    }
    *ret_number = number;
    return true;
}

/* Reads one byte that must be among `wanted`. */
static bool time_read_one_of(struct time_reader *reader, const char *wanted, char *ret_byte)
{
    if (reader->next == reader->end || *reader->next == '\0' ||
        strchr(wanted, *reader->next) == NULL)
        return false;
    *ret_byte = *reader->next++;
    return true;
}

static bool time_skip(struct time_reader *reader, const char *wanted)
{
    char byte = 0;
    return time_read_one_of(reader, wanted, &byte);
}

static bool time_read_date(struct time_reader *reader, int64_t *ret_days)
{
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;
    if (!time_read_digits(reader, 4, &year) || !time_skip(reader, "-") ||
        !time_read_digits(reader, 2, &month) || !time_skip(reader, "-") ||
        !time_read_digits(reader, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > time_month_days(year, month))
        return false;
    *ret_days = time_day_number(year, month, day);
    return true;
}

/* Reads HH:MM:SS into milliseconds; second 60 is let through for the caller to judge. */
static bool time_read_clock(struct time_reader *reader, int64_t *ret_ms, bool *ret_leap_second)
{
    int64_t hour = 0;
    int64_t minute = 0;
    int64_t second = 0;
    if (!time_read_digits(reader, 2, &hour) || !time_skip(reader, ":") ||
        !time_read_digits(reader, 2, &minute) || !time_skip(reader, ":") ||
        !time_read_digits(reader, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    *ret_ms = hour * MS_PER_HOUR + minute * MS_PER_MINUTE + second * MS_PER_SECOND;
    *ret_leap_second = second == 60;
    return true;
}

/* Reads an optional fraction of at least one digit; what is finer than a millisecond is cut. */
static bool time_read_fraction(struct time_reader *reader, int64_t *ret_ms)
{
    int64_t fraction_ms = 0;
    if (time_skip(reader, ".")) {
        int64_t digit = 0;
        int64_t weight = MS_PER_SECOND / 10;
        if (!time_read_digits(reader, 1, &digit))
            return false;
        do {
            fraction_ms += digit * weight;
            weight /= 10;
        } while (time_read_digits(reader, 1, &digit));
    }
    *ret_ms = fraction_ms;
    return true;
}

static bool time_read_offset(struct time_reader *reader, int64_t *ret_ms)
{
    char sign = 0;
    if (!time_read_one_of(reader, "Zz+-", &sign))
        return false;
    int64_t hours = 0;
    int64_t minutes = 0;
    if (sign == '+' || sign == '-') {
        if (!time_read_digits(reader, 2, &hours) || !time_skip(reader, ":") ||
            !time_read_digits(reader, 2, &minutes) || hours > 23 || minutes > 59)
            return false;
    }
    int64_t offset_ms = hours * MS_PER_HOUR + minutes * MS_PER_MINUTE;
    *ret_ms = sign == '-' ? -offset_ms : offset_ms;
    return true;
}

void time_to_text(int64_t wall_ms, char ret_text[TIME_TEXT_BYTES])
{
    if (wall_ms < 0)
        wall_ms = 0;
    if (wall_ms > TIME_LAST_MS)
        wall_ms = TIME_LAST_MS;
    int year = 0;
    int month = 0;
    int day = 0;
    time_date_of_day(wall_ms / MS_PER_DAY, &year, &month, &day);
    int hour = (int)(wall_ms % MS_PER_DAY / MS_PER_HOUR);
    int minute = (int)(wall_ms % MS_PER_HOUR / MS_PER_MINUTE);
    int second = (int)(wall_ms % MS_PER_MINUTE / MS_PER_SECOND);
    int fraction_ms = (int)(wall_ms % MS_PER_SECOND);
    int written = snprintf(ret_text, TIME_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u",
                           (unsigned)year % 10000u, (unsigned)month % 100u, (unsigned)day % 100u,
                           (unsigned)hour % 100u, (unsigned)minute % 100u, (unsigned)second % 100u);
    size_t used = (size_t)written;
    if (fraction_ms != 0)
        (void)snprintf(ret_text + used, TIME_TEXT_BYTES - used, ".%03uZ",
                       (unsigned)fraction_ms % 1000u);
    else
        (void)snprintf(ret_text + used, TIME_TEXT_BYTES - used, "Z");
}

int time_from_text(const char *text, size_t text_bytes, int64_t *ret_wall_ms)
{
    struct time_reader reader = {.next = text, .end = text + text_bytes};
    int64_t days = 0;
    if (!time_read_date(&reader, &days))
        return ERR_INPUT;
    int64_t wall_ms = days * MS_PER_DAY;
    if (reader.next != reader.end) {
        int64_t clock_ms = 0;
        int64_t fraction_ms = 0;
        int64_t offset_ms = 0;
        bool leap_second = false;
        if (!time_skip(&reader, "Tt ") || !time_read_clock(&reader, &clock_ms, &leap_second) ||
            !time_read_fraction(&reader, &fraction_ms) || !time_read_offset(&reader, &offset_ms))
            return ERR_INPUT;
        wall_ms += clock_ms - offset_ms;
        /* A leap second ends a day of UTC, so that it must have become a midnight here. */
        if (leap_second && wall_ms % MS_PER_DAY != 0)
            return ERR_INPUT;
        wall_ms += fraction_ms;
    }
    if (reader.next != reader.end || wall_ms < 0 || wall_ms > TIME_LAST_MS)
        return ERR_INPUT;
    *ret_wall_ms = wall_ms;
    return 0;
}

/* Finds the three letters that the reader stands at in `names` (a row of such names); 0-based, or -1. */
static int time_read_name(struct time_reader *reader, const char *names)
{
    if (reader->end - reader->next < 3)
        return -1;
    for (int i = 0; names[3 * i] != '\0'; i++) {
        if (memcmp(reader->next, names + (size_t)i * 3, 3) == 0) {
            reader->next += 3;
            return i;
        }
    }
    return -1;
}

int time_from_http_date(const char *text, int64_t *ret_wall_ms)
{
    if (strlen(text) != HTTP_DATE_BYTES)
        return ERR_INPUT;
    struct time_reader reader = {.next = text, .end = text + HTTP_DATE_BYTES};
    int64_t day = 0;
    int64_t year = 0;
    int64_t clock_ms = 0;
    bool leap_second = false;
    if (time_read_name(&reader, "MonTueWedThuFriSatSun") < 0 || !time_skip(&reader, ",") ||
        !time_skip(&reader, " ") || !time_read_digits(&reader, 2, &day) || !time_skip(&reader, " "))
        return ERR_INPUT;
    int64_t month = 1 + time_read_name(&reader, "JanFebMarAprMayJunJulAugSepOctNovDec");
    if (month < 1 || !time_skip(&reader, " ") || !time_read_digits(&reader, 4, &year) ||
        !time_skip(&reader, " ") || !time_read_clock(&reader, &clock_ms, &leap_second) ||
        memcmp(reader.next, " GMT", 4) != 0)
        return ERR_INPUT;
    if (day < 1 || day > time_month_days(year, month))
        return ERR_INPUT;
    int64_t wall_ms = time_day_number(year, month, day) * MS_PER_DAY + clock_ms;
    if (wall_ms < 0 || wall_ms > TIME_LAST_MS || (leap_second && wall_ms % MS_PER_DAY != 0))
        return ERR_INPUT;
    *ret_wall_ms = wall_ms;
    return 0;
}
