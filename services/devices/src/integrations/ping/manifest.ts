import type { Manifest } from '../manifest.js'

export const manifest: Manifest = {
  id: 'ping',
  name: 'Ping',
  description: 'Tells whether machines of the network can be reached, and how fast',
  picture:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke="#7b4efa" stroke-width="3" stroke-linecap="round"><path d="M16 26v0M9 19a10 10 0 0 1 14 0M4 14a17 17 0 0 1 24 0"/></svg>',
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
      identifier: 'detect_status',
      name: 'Detection status',
      type: 'PROPERTY',
      accessMod: 'R',
      valueType: 'LONG',
      attribute: { enum: { 0: 'STANDBY', 1: 'DETECTING' } }
    },
    {
      identifier: 'benchmark',
      name: 'Ping all devices',
      type: 'SERVICE',
      valueType: 'OBJECT',
      description: 'Asks every device once and keeps its status and delay'
    }
  ]
}
