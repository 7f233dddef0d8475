import { wireValue } from '../../entities/storedValue.js'
import type { Handlers, IntegrationTools } from '../manifest.js'

/** The services of this integration are the triggers of workflows, called by the ids of those. */
export function createHandlers({ callWorkflow }: IntegrationTools): Handlers {
  return {
    call({ tenantId, service, params }) {
      const own = Object.entries(params).map(([name, value]) => [name, wireValue(value)])
      return callWorkflow(tenantId, service, Object.fromEntries(own))
    }
  }
}
