import type { Readable } from 'node:stream'

export interface RawReply {
  /** Default 200. */
  status?: number
  headers?: Record<string, string | number | string[]>
  /** Text, bytes and streams go out as they are, anything else as JSON. */
  body?: string | Uint8Array | Readable | object | undefined
}

/** An answer that no envelope touches: files, redirects, odd legacy bodies. */
export class Raw {
  constructor(readonly reply: RawReply) {}
}

export function raw(reply: RawReply): Raw {
  return new Raw(reply)
}

/** Data with a total beside it: Linker's envelope shows it as `count` and as the header X-Object-Count. */
export class Counted<T> {
  constructor(
    readonly data: T,
    readonly count: number | undefined
  ) {}
}

/** A Linker list; `count` only where the caller asked for it (`?count=true`). */
export function linkerList<T>(items: T[], count?: number): Counted<T[]> {
  return new Counted(items, count)
}

/** The part of a list that was asked for, in our own words. */
export interface Range {
  offset: number
  limit: number
}

/** The part of a list that was found, and the size of the whole. */
export interface Found<T> {
  items: T[]
  total: number
}

/** No list is longer than this on one page; a bigger wish is cut down to it. */
export const maxPageSize = 1000

/** Nor does any list reach further; it keeps offsets within what the store can count. */
export const maxPageNumber = 1_000_000_000
