import { setTimeout } from 'node:timers/promises'

const rounds = 8

/**
 * Repeats a round until it answers true; false where others keep undoing it. The growing, random pauses are for two
 * that undo each other: one of them comes first some time.
 */
export async function contended(round: () => Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < rounds; i++) {
    if (i > 0) await setTimeout(Math.random() * 5 * 2 ** i)
    if (await round()) return true
  }
  return false
}
