/*
 * Hexadecimal digits, as digests and GUIDs are written.
 *
 * Invariant: inline, because every delivery at the door is read with it.
 */
#ifndef NODAG_BASE_HEX_H
#define NODAG_BASE_HEX_H

/* Returns the value of a hexadecimal digit of either case, -1 if it is none. Any thread. */
static inline int hex_value(char digit)
{
    unsigned decimal = (unsigned)(unsigned char)digit - '0';
    unsigned letter = ((unsigned)(unsigned char)digit | 0x20) - 'a'; /* lower case */
    if (decimal <= 9)
        return (int)decimal;
    return letter < 6 ? (int)letter + 10 : -1;
}

#endif
