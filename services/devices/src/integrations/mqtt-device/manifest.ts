import type { Manifest } from '../manifest.js'

const field = { valueType: 'STRING', isVisible: false } as const

export const manifest: Manifest = {
  id: 'mqtt-device',
  name: 'MQTT devices',
  description: 'Devices that send JSON over MQTT, by templates',
  picture:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke="#7b4efa" stroke-width="3" stroke-linecap="round"><path d="M6 26h0M6 17a9 9 0 0 1 9 9M6 8a18 18 0 0 1 18 18"/></svg>',
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
          ...field,
          identifier: 'device_id',
          name: 'Device id in the topic',
          attribute: { min_length: 1, max_length: 64 }
        },
        { ...field, identifier: 'template', name: 'Id of the template', attribute: { min_length: 1, max_length: 19 } }
      ]
    },
    { identifier: 'delete_device', name: 'Delete device', type: 'SERVICE', valueType: 'STRING', isVisible: false }
  ]
}
