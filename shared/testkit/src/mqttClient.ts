import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import type { Teardown } from './teardown.js'

/** A connected MQTT client that is closed at the end of the test. Refused connections reject. */
export async function mqttClient(t: Teardown, url: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await connectAsync(url, { reconnectPeriod: 0, connectTimeout: 5000, ...options }, false)
  t.teardown(() => client.endAsync(true))
  return client
}
