/** Of several readings of one thing the latest one stands, whichever ends last. */
export interface Readings {
  /** Reads one thing anew, after its earlier readings have ended. */
  one<T>(key: string, read: () => Promise<T>, put: (found: T) => void): Promise<void>
  /** Reads all of them; what was read alone meanwhile is newer. One at a time: who comes meanwhile gets the same. */
  all(work: (isNewer: (key: string) => boolean) => Promise<void>): Promise<void>
}

export function createReadings(): Readings {
  const running = new Map<string, Promise<void>>()
  const readAt = new Map<string, number>()
  let clock = 0
  let whole: Promise<void> | undefined

  async function readAll(work: (isNewer: (key: string) => boolean) => Promise<void>): Promise<void> {
    const began = ++clock
    await work((key) => (readAt.get(key) ?? 0) > began)
    readAt.clear()
  }

  return {
    async one(key, read, put) {
      const before = running.get(key)
      const mine = (async () => {
        // Whoever has asked for that one is told how it ended.
        await before?.catch(() => undefined)
        const found = await read()
        readAt.set(key, ++clock)
        put(found)
      })()
      running.set(key, mine)
      try {
        await mine
      } finally {
        if (running.get(key) === mine) running.delete(key)
      }
    },
    all(work) {
      whole ??= readAll(work).finally(() => {
        whole = undefined
      })
      return whole
    }
  }
}
