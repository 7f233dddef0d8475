import { Counter, Gauge, type Metrics } from '@fleetgate/kit'
import type { BrokerDriver, LossName } from './broker/brokerDriver.js'

export interface BrokerMetrics {
  uplinkStored(): void
  publishDenied(): void
  blockServed(): void
  blockCast(): void
  commandsDelivered(count: number): void
  hookLost(): void
}

const lossHelp = {
  connectionsRefused: ['mqtt_connections_refused_total', 'Connections over a limit, closed before a byte was read'],
  versionRefused: ['mqtt_version_refused_total', 'Clients refused because they speak another MQTT than 3.1.1 and 3.1'],
  slowDropped: ['mqtt_slow_dropped_total', 'QoS 0 messages left out for receivers that take nothing'],
  slowClosed: ['mqtt_slow_closed_total', 'Receivers closed because too much waited for them']
} as const satisfies Record<LossName, readonly [name: string, help: string]>

export function createBrokerMetrics(
  { registry }: Metrics,
  connected: () => number,
  counts: () => BrokerDriver['counts']
): BrokerMetrics {
  const registers = [registry]
  for (const [loss, [name, help]] of Object.entries(lossHelp) as [LossName, readonly [string, string]][]) {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset()
        this.inc(counts()?.[loss] ?? 0)
      }
    })
  }
  new Gauge({
    name: 'mqtt_connected_clients',
    help: 'MQTT clients connected to the broker: every replica counts all of them',
    registers,
    collect() {
      this.set(connected())
    }
  })
  const stored = new Counter({
    name: 'mqtt_uplink_stored_total',
    help: 'Messages stored in the uplink stream',
    registers
  })
  const denied = new Counter({
    name: 'mqtt_publish_denied_total',
    help: 'Messages refused for lack of permission',
    registers
  })
  const blocks = new Counter({ name: 'file_blocks_served_total', help: 'File blocks sent to clients', registers })
  const cast = new Counter({
    name: 'file_blocks_cast_total',
    help: 'File blocks sent to the members of a cast',
    registers
  })
  const commands = new Counter({
    name: 'mqtt_commands_delivered_total',
    help: 'Commands sent to connected clients',
    registers
  })

  const lost = new Counter({
    name: 'mqtt_web_hook_lost_total',
    help: 'Events that the URL of a web hook did not take',
    registers
  })

  return {
    uplinkStored: () => stored.inc(),
    publishDenied: () => denied.inc(),
    blockServed: () => blocks.inc(),
    blockCast: () => cast.inc(),
    commandsDelivered: (count) => commands.inc(count),
    hookLost: () => lost.inc()
  }
}
