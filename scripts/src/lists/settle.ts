import { connectBus, machineChanged } from '@fleetgate/kit'
import { quietLog, type Session, until } from '@fleetgate/testkit'
import { post } from '../demo/client.js'

const namesAtOnce = 500

/**
 * Waits until machines that were filled in are devices too, as in a fleet that has been there for a while. What the scheduler says
 * of machines that come makes them so.
 */
export async function settle(
  session: Session,
  { natsUrl, tenantId, names }: { natsUrl: string; tenantId: string; names: string[] }
): Promise<void> {
  const bus = await connectBus({ name: 'bench', url: natsUrl, log: quietLog })
  try {
    for (let start = 0; start < names.length; start += namesAtOnce) {
      const mqttClientIds = names.slice(start, start + namesAtOnce)
      await bus.publish(machineChanged, { tenantId, mqttClientIds, removed: [], at: Date.now() })
    }
  } finally {
    await bus.close()
  }
  const isSettled = async () => {
    const { data } = await post<{ data: { total: number } }>(session, '/device/search', { page_size: 1 })
    return data.total >= names.length
  }
  await until(isSettled, { what: 'all machines to be devices', deadlineMs: 3_600_000, everyMs: 1_000 })
}
