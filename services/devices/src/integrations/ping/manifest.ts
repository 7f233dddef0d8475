import type { Manifest } from '../manifest.js'

export const manifest: Manifest = {
  id: 'ping',
  name: 'Ping',
  description: 'Tells whether machines of the network can be reached, and how fast',
  icon: 'public/ping-logo.svg',
  addDevice: 'add_device',
  deleteDevice: 'delete_device',
  entities: [
    {
      identifier: 'add_device',
      name: 'Add device',
      type: 'SERVICE',
      valueType: 'OBJECT',
      isVisible: false,
      children: [
        {
          identifier: 'ip',
          name: 'IP address',
          valueType: 'STRING',
          isVisible: false,
          attribute: { min_length: 2, max_length: 45 }
        }
      ]
    },
    { identifier: 'delete_device', name: 'Delete device', type: 'SERVICE', valueType: 'STRING', isVisible: false },
    {
      identifier: 'benchmark',
      name: 'Ping all devices',
      type: 'SERVICE',
      valueType: 'OBJECT',
      description: 'Asks every device once and keeps its status and delay'
    }
  ]
}
