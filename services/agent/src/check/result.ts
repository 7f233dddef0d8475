/** What one look at the machine has found. */
export interface Result {
  name: string
  status: 'ok' | 'failed' | 'skipped'
  detail: string
}

/** A look that cannot say, or need not. */
export class Skipped extends Error {
  override readonly name = 'Skipped'
}

/** Looks once; whatever is thrown is what is wrong. */
export async function look(name: string, work: () => Promise<string>): Promise<Result> {
  try {
    return { name, status: 'ok', detail: await work() }
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    return { name, status: error instanceof Skipped ? 'skipped' : 'failed', detail }
  }
}
