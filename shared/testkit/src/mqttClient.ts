import type { IClientOptions, MqttClient } from 'mqtt'
import type { Teardown } from './teardown.js'

/** A connected MQTT client that is closed at the end of the test. Refused connections reject. */
export async function mqttClient(t: Teardown, url: string, options: IClientOptions = {}): Promise<MqttClient> {
  // Loaded by the tests that use it: it takes longer than the rest of the testkit.
  const { connectAsync } = await import('mqtt')
  const client = await connectAsync(url, { reconnectPeriod: 0, connectTimeout: 5000, ...options }, false)
  t.teardown(() => client.endAsync(true))
  return client
}
