// The shop's products. Prices are in EUR.
export const products = [
  { id: "aero-14", name: "Aero 14", shelf: "laptops", category: "computers/laptops", price: 899, hue: 210, screen: "14″ IPS, 1920 × 1200", memory: "16 GB", storage: "512 GB", battery: "14 h", weight: "1.2 kg", stars: 4.4, reviews: 212, text: "Light enough to forget, quick enough to remember." },
  { id: "aero-16-pro", name: "Aero 16 Pro", shelf: "laptops", category: "computers/laptops", price: 1899, hue: 250, screen: "16″ OLED, 3200 × 2000", memory: "32 GB", storage: "1 TB", battery: "11 h", weight: "1.8 kg", stars: 4.7, reviews: 168, text: "For films, photos and everything that takes long elsewhere." },
  { id: "nimbus-13", name: "Nimbus 13", shelf: "laptops", category: "computers/laptops", price: 749, hue: 160, screen: "13″ IPS, 1920 × 1200", memory: "8 GB", storage: "256 GB", battery: "16 h", weight: "1.1 kg", stars: 4.1, reviews: 94, text: "The one for the train, the café and the lecture." },
  { id: "forge-15", name: "Forge 15", shelf: "laptops", category: "computers/laptops", price: 1399, hue: 10, screen: "15″ IPS, 2560 × 1440, 165 Hz", memory: "32 GB", storage: "1 TB", battery: "7 h", weight: "2.2 kg", stars: 4.5, reviews: 305, text: "A graphics card with a keyboard attached." },
  { id: "basis-15", name: "Basis 15", shelf: "laptops", category: "computers/laptops", price: 499, hue: 40, screen: "15″ IPS, 1920 × 1080", memory: "8 GB", storage: "256 GB", battery: "9 h", weight: "1.7 kg", stars: 3.9, reviews: 410, text: "Everything you need, nothing you pay for twice." },
  { id: "vista-27", name: "Vista 27", shelf: "monitors", category: "computers/monitors", price: 379, hue: 200, screen: "27″ IPS, 3840 × 2160", memory: "–", storage: "–", battery: "–", weight: "5.1 kg", stars: 4.3, reviews: 133, text: "Room for two windows and a half." },
  { id: "vista-34", name: "Vista 34 Wide", shelf: "monitors", category: "computers/monitors", price: 649, hue: 280, screen: "34″ VA, 3440 × 1440", memory: "–", storage: "–", battery: "–", weight: "7.4 kg", stars: 4.6, reviews: 77, text: "From one side of the desk to the other." },
  { id: "pico-6", name: "Pico 6", shelf: "phones", category: "phones", price: 599, hue: 330, screen: "6.1″ OLED", memory: "8 GB", storage: "128 GB", battery: "26 h", weight: "168 g", stars: 4.2, reviews: 521, text: "Fits the hand, and the pocket." },
  { id: "pico-6-max", name: "Pico 6 Max", shelf: "phones", category: "phones", price: 829, hue: 120, screen: "6.7″ OLED", memory: "12 GB", storage: "256 GB", battery: "34 h", weight: "205 g", stars: 4.5, reviews: 287, text: "Two days between two sockets." },
  { id: "hush", name: "Hush", shelf: "audio", category: "audio/headphones", price: 249, hue: 220, screen: "–", memory: "–", storage: "–", battery: "38 h", weight: "254 g", stars: 4.6, reviews: 640, text: "Takes away the office and leaves the music." },
  { id: "hush-mini", name: "Hush Mini", shelf: "audio", category: "audio/headphones", price: 129, hue: 20, screen: "–", memory: "–", storage: "–", battery: "8 h", weight: "9 g", stars: 4.0, reviews: 356, text: "The same quiet, in a matchbox." },
  { id: "tack", name: "Tack keyboard", shelf: "accessories", category: "accessories/keyboards", price: 89, hue: 180, screen: "–", memory: "–", storage: "–", battery: "3 months", weight: "640 g", stars: 4.4, reviews: 198, text: "Keys that answer." },
];

export const shelves = { laptops: "Laptops", monitors: "Monitors", phones: "Phones", audio: "Audio", accessories: "Accessories" };

export const find = (id) => products.find((p) => p.id === id);
export const euro = (n) => "€ " + n.toLocaleString("en-IE", { minimumFractionDigits: n % 1 ? 2 : 0 });

// item is a product as Segment's e-commerce events state it.
export const item = (p, quantity = 1) => ({ product_id: p.id, sku: p.id, name: p.name, category: p.category, price: p.price, quantity, currency: "EUR" });
