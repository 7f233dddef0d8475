import { AppError, type Bus, findStoredFile, parseStorePath, type Step } from '@fleetgate/kit'
import { stepsWithin, type UnnumberedStep } from './steps.js'

/** Refuses steps that name a content of the central store which the tenant does not have; what the task named before may have gone since. */
export type RequireContents = (
  tenantId: string,
  steps: readonly UnnumberedStep[],
  stored: readonly Step[]
) => Promise<void>

export function createRequireContents(bus: Pick<Bus, 'request'>): RequireContents {
  /** While the store does not answer nobody has to wait with a task: its run looks again. */
  async function isThere(tenantId: string, sha256: string): Promise<boolean> {
    try {
      return (await bus.request(findStoredFile, { tenantId, wanted: { sha256 } })).file !== undefined
    } catch (error) {
      if (error instanceof AppError && (error.code === 'unavailable' || error.code === 'timeout')) return true
      throw error
    }
  }

  return async function requireContents(tenantId, steps, stored) {
    const known = contentsOf(stored)
    for (const [sha256, path] of contentsOf(steps)) {
      if (known.has(sha256) || (await isThere(tenantId, sha256))) continue
      throw new AppError('invalid_input', `filePath ${path}: the central store has no such file`, { field: 'filePath' })
    }
  }
}

/** The path by each content that steps name by its hash. */
function contentsOf(steps: readonly UnnumberedStep[]): Map<string, string> {
  return new Map(
    stepsWithin(steps).flatMap(({ filePath = '' }) => {
      const sha256 = parseStorePath(filePath)?.sha256
      return sha256 ? [[sha256, filePath]] : []
    })
  )
}
