/**
 * Text to words for the matcher: each word's number in the vocabulary, and how it is cut off from the one before. One
 * pass over UTF-16 units without a string per word; this is where the time of the lexicon goes.
 */
import { findQuoted } from "./quotes.js";

/** Numbers of words that every vocabulary has. Not in the vocabulary: no pattern has it, but * and .. stand for it. */
export const UNKNOWN = 0;
export const QUESTION = 1;
export const EXCLAMATION = 2;

/** What stands between a word and the one before: nothing, a comma or the like (ends a negation), the end of a sentence. */
export const NO_BREAK = 0;
export const SOFT_BREAK = 1;
export const HARD_BREAK = 2;

/** Words of the longest kind that a lexicon can hold, in UTF-16 units. */
const MAX_WORD = 64;

/** Kinds of characters. */
const OTHER = 0;
const LETTER = 1;
const SYMBOL = 2;
const SOFT = 3;
const HARD = 4;
const APOSTROPHE = 5;
const SKIP = 6;
const HYPHEN = 7;
const NEWLINE = 8;

const kinds = new Uint8Array(0x10000).fill(0xff);
const lower = new Uint16Array(0x10000);
for (let unit = 0; unit < 0x10000; unit++) {
  const small = String.fromCharCode(unit).toLowerCase();
  lower[unit] = small.length === 1 ? small.charCodeAt(0) : unit;
}

function kindOf(character: string): number {
  if (/[\p{L}\p{M}\p{N}]/u.test(character)) return /[\ufe00-\ufe0f]/.test(character) ? SKIP : LETTER;
  if ("'’ʼ‘".includes(character)) return APOSTROPHE;
  if ("-‐‑".includes(character)) return HYPHEN;
  if (',()[]{}/–—"“”„«»'.includes(character)) return SOFT;
  if (".?!;:…。！？".includes(character)) return HARD;
  if (/[\n\r\u2028\u2029]/.test(character)) return NEWLINE;
  if (/[*_#~\u200b-\u200d\u2060\ufeff\u00ad]/.test(character)) return SKIP;
  return /\p{Extended_Pictographic}/u.test(character) ? SYMBOL : OTHER;
}

function kindOfUnit(unit: number): number {
  let kind = kinds[unit]!;
  if (kind === 0xff) {
    kind = kindOf(String.fromCharCode(unit));
    kinds[unit] = kind;
  }
  return kind;
}

/** Numbers of words, looked up by the characters of a text without cutting it up. */
export class Vocabulary {
  readonly words: string[] = ["", "?", "!"];
  private slots = new Int32Array(1 << 8);

  constructor() {
    this.insert(QUESTION);
    this.insert(EXCLAMATION);
  }

  /** The number of a word, which is added where it is new. */
  add(word: string): number {
    const known = this.find(word);
    if (known !== UNKNOWN) return known;
    const index = this.words.push(word) - 1;
    if (this.words.length * 4 <= this.slots.length) {
      this.insert(index);
      return index;
    }
    this.slots = new Int32Array(this.slots.length * 2);
    for (let each = QUESTION; each <= index; each++) this.insert(each);
    return index;
  }

  find(word: string): number {
    return this.lookUp(unitsOf(word), word.length);
  }

  /** UNKNOWN where there is no such word. */
  lookUp(units: Uint16Array, length: number): number {
    const mask = this.slots.length - 1;
    for (let slot = hash(units, length) & mask; ; slot = (slot + 1) & mask) {
      const index = this.slots[slot]!;
      if (index === 0) return UNKNOWN;
      if (equals(this.words[index]!, units, length)) return index;
    }
  }

  private insert(index: number): void {
    const word = this.words[index]!;
    const mask = this.slots.length - 1;
    let slot = hash(unitsOf(word), word.length) & mask;
    while (this.slots[slot] !== 0) slot = (slot + 1) & mask;
    this.slots[slot] = index;
  }
}

function unitsOf(word: string): Uint16Array {
  return Uint16Array.from({ length: word.length }, (_, i) => word.charCodeAt(i));
}

function hash(units: Uint16Array, length: number): number {
  let value = 17;
  for (let i = 0; i < length; i++) value = (Math.imul(value, 31) + units[i]!) | 0;
  return value ^ (value >>> 15);
}

function equals(word: string, units: Uint16Array, length: number): boolean {
  if (word.length !== length) return false;
  for (let i = 0; i < length; i++) if (word.charCodeAt(i) !== units[i]) return false;
  return true;
}

/** The words of one text after the other, in buffers that are used again. */
export class Tokens {
  count = 0;
  /** Word numbers, and the break before each. */
  ids = new Int32Array(1024);
  breaks = new Uint8Array(1024);
  /** Where each begins and ends in the text (after NFC). */
  begins = new Int32Array(1024);
  ends = new Int32Array(1024);
  text = "";
  private readonly word = new Uint16Array(MAX_WORD);
  private pending = HARD_BREAK;

  constructor(private readonly vocabulary: Vocabulary) {}

  /** Reads a text in place of the one before. What is quoted is passed over, and ends a sentence. */
  read(original: string): void {
    const text = original.normalize("NFC");
    this.text = text;
    this.count = 0;
    this.pending = HARD_BREAK;
    const quoted = findQuoted(text);
    let next = 0;
    const { length } = text;
    for (let at = 0; at < length; ) {
      if (next < quoted.length && at >= quoted[next]![0]) {
        at = quoted[next++]![1];
        this.pending = HARD_BREAK;
        continue;
      }
      const unit = text.charCodeAt(at);
      if (unit >= 0xd800 && unit < 0xe000) {
        at = this.readPair(at);
        continue;
      }
      switch (kindOfUnit(unit)) {
        case LETTER:
          at = this.readWord(at);
          continue;
        case SYMBOL:
          this.push(this.vocabulary.find(text[at]!), at, at + 1);
          break;
        case SOFT:
          if (this.pending < SOFT_BREAK) this.pending = SOFT_BREAK;
          break;
        case HYPHEN:
          if (this.isDash(at) && this.pending < SOFT_BREAK) this.pending = SOFT_BREAK;
          break;
        case HARD:
          this.readMark(at, unit);
          break;
        case NEWLINE:
          this.pending = HARD_BREAK;
          break;
        default:
          break;
      }
      at += 1;
    }
  }

  /** A character outside the basic plane: an emoji is a word of its own, a letter joins nothing. */
  private readPair(at: number): number {
    const character = String.fromCodePoint(this.text.codePointAt(at)!);
    const end = at + character.length;
    const kind = character.length === 1 ? OTHER : kindOf(character);
    if (kind === SYMBOL) this.push(this.vocabulary.find(character), at, end);
    else if (kind === LETTER) this.push(UNKNOWN, at, end);
    return end;
  }

  private readWord(begin: number): number {
    const { text, word } = this;
    let length = 0;
    let at = begin;
    for (; at < text.length; at++) {
      const unit = text.charCodeAt(at);
      const kind = kindOfUnit(unit);
      if (kind === LETTER) {
        if (length < MAX_WORD) word[length] = lower[unit]!;
        length += 1;
      } else if (kind === APOSTROPHE && at + 1 < text.length && kindOfUnit(text.charCodeAt(at + 1)) === LETTER) {
        if (length < MAX_WORD) word[length] = 39;
        length += 1;
      } else break;
    }
    this.push(length > MAX_WORD ? UNKNOWN : this.lookUp(length), begin, at);
    return at;
  }

  /** A possessive that has no entry of its own is its noun. */
  private lookUp(length: number): number {
    const { word, vocabulary } = this;
    const found = vocabulary.lookUp(word, length);
    if (found !== UNKNOWN || length < 3 || word[length - 1] !== 115 || word[length - 2] !== 39) return found;
    return vocabulary.lookUp(word, length - 2);
  }

  private readMark(at: number, unit: number): void {
    const following = this.text.charCodeAt(at + 1);
    // "3.5", "e.g", "12:30", "www.example.org"
    if ((unit === 46 || unit === 58) && at + 1 < this.text.length && kindOfUnit(following) === LETTER) return;
    if (unit === 63 || unit === 0xff1f) this.push(QUESTION, at, at + 1);
    else if (unit === 33 || unit === 0xff01) this.push(EXCLAMATION, at, at + 1);
    this.pending = HARD_BREAK;
  }

  /** A hyphen that joins nothing is a dash. */
  private isDash(at: number): boolean {
    const before = at === 0 ? OTHER : kindOfUnit(this.text.charCodeAt(at - 1));
    const after = at + 1 === this.text.length ? OTHER : kindOfUnit(this.text.charCodeAt(at + 1));
    return before !== LETTER || after !== LETTER;
  }

  private push(id: number, begin: number, end: number): void {
    const index = this.count++;
    if (index === this.ids.length) this.grow();
    this.ids[index] = id;
    this.breaks[index] = this.pending;
    this.begins[index] = begin;
    this.ends[index] = end;
    this.pending = NO_BREAK;
  }

  private grow(): void {
    const double = <T extends Int32Array | Uint8Array>(old: T): T => {
      const wider = new (old.constructor as new (length: number) => T)(old.length * 2);
      wider.set(old);
      return wider;
    };
    this.ids = double(this.ids);
    this.breaks = double(this.breaks);
    this.begins = double(this.begins);
    this.ends = double(this.ends);
  }
}
