import { type Bus, findStoredFile, type Subscription } from '@fleetgate/contracts'
import type { FileNames } from './fileNames.js'

/** RPC broker-proxy.findStoredFile. */
export function serveFiles(bus: Pick<Bus, 'serve'>, names: Pick<FileNames, 'find'>): Promise<Subscription> {
  return bus.serve(findStoredFile, async ({ tenantId, wanted }) => {
    const file = await names.find(tenantId, wanted)
    return file ? { file } : {}
  })
}
