export interface UntilOptions {
  deadlineMs?: number
  /** What is waited for, named in the failure. */
  what: string
  /** Milliseconds between two looks. */
  everyMs?: number
}

/** Long enough for a process to start on a machine that runs other tests too. */
const defaultDeadlineMs = 30_000

/**
 * Waits until the condition gives something truthy and answers that; rejects after the deadline. A condition that
 * throws counts as "not yet"; its last error becomes the cause.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { deadlineMs = defaultDeadlineMs, what, everyMs = 10 }: UntilOptions
): Promise<NonNullable<T>> {
  const end = Date.now() + deadlineMs
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
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
