/** Does this with each of them, in their order, so many at once. */
export async function inLanes<T>(all: readonly T[], work: (one: T) => Promise<void>, atOnce = 100): Promise<void> {
  const left = all.values()
  const lane = async () => {
    for (const one of left) await work(one)
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
}

export interface Loss {
  happened: Promise<never>
  tell(reason: string): void
}

/** Rejects when the first machine loses its connection: a bench of fewer machines than it says would be worth nothing. */
export function createLoss(): Loss {
  let tell = (_reason: string) => {}
  const happened = new Promise<never>((_, reject) => {
    tell = (reason) => reject(new Error(`a machine lost its connection: ${reason}`))
  })
  happened.catch(() => undefined)
  return { happened, tell }
}
