export interface UntilOptions {
  deadlineMs?: number
  /** What is waited for, named in the failure. */
  what: string
  /** Milliseconds between two looks; not given, they grow from 5 to 40: a look often is a request, and a long wait has many. */
  everyMs?: number
}

/** Long enough for a process to start on a machine that runs other tests too. */
const defaultDeadlineMs = 30_000
const pauses = { shortest: 5, longest: 40, growth: 1.5 }

/**
 * Waits until the condition gives something truthy and answers that; rejects after the deadline. A condition that
 * throws counts as "not yet"; its last error becomes the cause.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { deadlineMs = defaultDeadlineMs, what, everyMs }: UntilOptions
): Promise<NonNullable<T>> {
  const end = Date.now() + deadlineMs
  let pause = everyMs ?? pauses.shortest
  let cause: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value) return value
      cause = undefined
    } catch (error) {
      cause = error
    }
    if (Date.now() >= end) throw new Error(`waited ${deadlineMs} ms in vain for ${what}`, { cause })
    await new Promise((resolve) => setTimeout(resolve, pause))
    pause = everyMs ?? Math.min(pause * pauses.growth, pauses.longest)
  }
}
